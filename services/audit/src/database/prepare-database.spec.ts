import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startPostgres, uniqueName, waitFor, withClient, type TestPostgres } from '#libs/testing';
import { runMigrations } from '#libs/persistence';
import { startAudit } from '../audit.process.js';
import { NotMigrated } from '../errors.js';
import { AuditFixture } from '../testing/audit.fixture.js';
import { EventsAndQuarantine1700000000001 } from './migrations/0001-events-and-quarantine.js';
import { prepareDatabase } from './prepare-database.js';

describe('preparing the audit database', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;

  beforeAll(async () => {
    postgres = await startPostgres();
    fixture = await AuditFixture.create(await postgres.createDatabase());
    await fixture.start();
    await fixture.publish(fixture.event());
    await waitFor(async () => (await fixture.recordedIds()).length === 1);
  });
  afterAll(async () => {
    await fixture.stop();
    await postgres.stop();
  });

  const asWriter = async (sql: string) =>
    await withClient(fixture.config.databaseUrl, async (client) => (await client.query<object>(sql)).rows);
  const role = () => new URL(fixture.config.databaseUrl).username;

  it('gives the writer the password of its URL when it changes, and leaves it alone otherwise', async () => {
    const password = async () =>
      await fixture.query('SELECT rolpassword FROM pg_authid WHERE rolname = $1', [role()]);
    const before = await password();
    await prepareDatabase(fixture.config, fixture.logger);
    expect(await password()).toEqual(before);
    const changed = new URL(fixture.config.databaseUrl);
    changed.password = 'quite%20another'.replace('%20', '-');
    await prepareDatabase({ ...fixture.config, databaseUrl: changed.toString() }, fixture.logger);
    expect(
      await withClient(changed.toString(), async (client) => (await client.query('SELECT 1')).rowCount),
    ).toBe(1);
    await expect(asWriter('SELECT 1')).rejects.toMatchObject({ code: '28P01' });
    await prepareDatabase(fixture.config, fixture.logger);
    await expect(asWriter('SELECT 1')).resolves.toHaveLength(1);
  });

  it('starts without the owner where the tables are there, and says what to do where they are not', async () => {
    const config = { ...fixture.config, databaseOwnerUrl: undefined };
    await (await startAudit({ config, logger: fixture.logger })).stop();
    const { pathname } = new URL(await postgres.createDatabase());
    const elsewhere = (url: string) => Object.assign(new URL(url), { pathname }).toString();
    const starting = startAudit({
      config: {
        ...config,
        databaseUrl: elsewhere(config.databaseUrl),
        readerDatabaseUrl: elsewhere(config.readerDatabaseUrl),
      },
      logger: fixture.logger,
    });
    await expect(starting).rejects.toThrow(NotMigrated);
  });

  it('quotes whatever name the role has', async () => {
    const url = new URL(fixture.config.databaseUrl);
    const name = `${uniqueName('odd')}"; DROP SCHEMA audit; --`;
    url.username = encodeURIComponent(name);
    await prepareDatabase({ ...fixture.config, databaseUrl: url.toString() }, fixture.logger);
    expect(await fixture.recordedIds()).toHaveLength(1);
    const quoted = `"${name.replaceAll('"', '""')}"`;
    await fixture.query(`DROP OWNED BY ${quoted}`);
    await fixture.query(`DROP ROLE ${quoted}`);
  });

  it('keeps events of the first form of the table, and begins the log beside them', async () => {
    const ownerUrl = await postgres.createDatabase();
    const run = async <T extends object>(sql: string) =>
      await withClient(ownerUrl, async (client) => (await client.query<T>(sql)).rows);
    await runMigrations({
      url: ownerUrl,
      schema: 'audit',
      applicationName: 'spec',
      migrations: [EventsAndQuarantine1700000000001],
    });
    await run(
      `INSERT INTO audit.events (id, source, incarnation, sequence, type, entity, entity_id, severity, actor, time, data, stream_seq)
       VALUES (gen_random_uuid(), '/agent/old', gen_random_uuid(), 1, 't', 'e', 'i', 'info', 'host:old', now(), '{}', 1);
       INSERT INTO audit.quarantine (digest, stream_seq, subject, headers, body, reason) VALUES (sha256('x'), 1, 's', '{}', 'x', 'r')`,
    );
    await prepareDatabase({ ...fixture.config, databaseOwnerUrl: ownerUrl }, fixture.logger);
    expect(await run('SELECT source FROM audit_unproved.events')).toEqual([{ source: '/agent/old' }]);
    expect(await run('SELECT id FROM audit.events')).toEqual([]);
    expect(await run('SELECT code, reason FROM audit.quarantine')).toEqual([
      { code: 'unclassified', reason: 'r' },
    ]);
    const { databaseUrl, readerDatabaseUrl, keeperDatabaseUrl = databaseUrl } = fixture.config;
    for (const url of [databaseUrl, readerDatabaseUrl, keeperDatabaseUrl])
      await run(`DROP OWNED BY ${new URL(url).username}`);
  });

  it('leaves nothing beside the log when there was no event', async () => {
    expect(await fixture.query("SELECT 1 FROM pg_namespace WHERE nspname = 'audit_unproved'")).toEqual([]);
  });
});
