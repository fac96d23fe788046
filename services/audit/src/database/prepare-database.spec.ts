import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startPostgres, uniqueName, waitFor, withClient, type TestPostgres } from '#libs/testing';
import { startAudit } from '../audit.process.js';
import { NotMigrated, UnsafeRole } from '../errors.js';
import { AuditFixture } from '../testing/audit.fixture.js';
import { prepareDatabase } from './prepare-database.js';

describe('the roles of the audit database', () => {
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

  it('lets the writer read and add', async () => {
    expect(await asWriter('SELECT id FROM audit.events')).toHaveLength(1);
    await asWriter(
      `INSERT INTO audit.quarantine (digest, stream_seq, subject, headers, body, reason)
       VALUES (sha256('x'), 1, 's', '{}', 'x', 'r')`,
    );
  });

  it.each([
    ['change an event', "UPDATE audit.events SET actor = 'user:nobody'"],
    ['change one by a conflict', insertOf('ON CONFLICT (id) DO UPDATE SET actor = excluded.actor')],
    [
      'change one by a merge',
      'MERGE INTO audit.events e USING audit.events n ON e.id = n.id WHEN MATCHED THEN DELETE',
    ],
    ['remove an event', 'DELETE FROM audit.events'],
    ['empty the table', 'TRUNCATE audit.events'],
    ['drop the table', 'DROP TABLE audit.events'],
    ['drop the schema', 'DROP SCHEMA audit CASCADE'],
    ['change the table', 'ALTER TABLE audit.events DROP COLUMN actor'],
    ['take the table', 'ALTER TABLE audit.events OWNER TO CURRENT_USER'],
    ['drop an index', 'DROP INDEX audit.events_by_time'],
    ['lock others out', 'BEGIN; LOCK TABLE audit.events IN ACCESS EXCLUSIVE MODE; COMMIT'],
    ['hide rows behind a policy', 'CREATE POLICY hide ON audit.events USING (false)'],
    ['rewrite with a rule', 'CREATE RULE nothing AS ON INSERT TO audit.events DO INSTEAD NOTHING'],
    [
      'rewrite with a trigger',
      'CREATE TRIGGER t BEFORE INSERT ON audit.events FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()',
    ],
    ['make a table beside it', 'CREATE TABLE audit.mine (id int)'],
    ['pretend that migrations ran', "INSERT INTO audit.migrations (timestamp, name) VALUES (1, 'x')"],
    ['free something of the quarantine', 'DELETE FROM audit.quarantine'],
    ['allow itself more', 'GRANT ALL ON audit.events TO CURRENT_USER'],
    ['make itself mighty', 'ALTER ROLE CURRENT_USER SUPERUSER'],
    ['become the owner', 'SET ROLE postgres'],
  ])('does not let the writer %s', async (_, sql) => {
    const before = await fixture.query('SELECT * FROM audit.events');
    await asWriter(sql).catch(() => undefined);
    // A refusal by the database, or (GRANT) a warning: what counts is that nothing is different.
    expect(await fixture.query('SELECT * FROM audit.events')).toEqual(before);
    expect(await dangerousPrivileges()).toEqual([]);
    if (!sql.startsWith('GRANT')) await expect(asWriter(sql)).rejects.toMatchObject({ code: '42501' });
  });

  async function dangerousPrivileges() {
    return await fixture.query(
      `SELECT privilege_type FROM information_schema.role_table_grants
        WHERE grantee = $1 AND table_schema = 'audit' AND privilege_type NOT IN ('SELECT', 'INSERT')`,
      [role()],
    );
  }

  it('takes away what somebody gave the writer, at the next start', async () => {
    await fixture.query(`GRANT UPDATE, DELETE ON audit.events TO ${role()}`);
    await prepareDatabase(fixture.config, fixture.logger);
    await expect(asWriter('DELETE FROM audit.events')).rejects.toMatchObject({ code: '42501' });
  });

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

  it('does not start as a role that may change what is recorded', async () => {
    const config = { ...fixture.config, databaseUrl: fixture.ownerUrl, databaseOwnerUrl: undefined };
    await expect(startAudit({ config, logger: fixture.logger })).rejects.toThrow(UnsafeRole);
  });

  it('starts without the owner where the tables are there, and says what to do where they are not', async () => {
    const config = { ...fixture.config, databaseOwnerUrl: undefined };
    await (await startAudit({ config, logger: fixture.logger })).stop();
    const empty = new URL(config.databaseUrl);
    empty.pathname = new URL(await postgres.createDatabase()).pathname;
    const starting = startAudit({
      config: { ...config, databaseUrl: empty.toString() },
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
});

function insertOf(conflict: string): string {
  const columns =
    'id, source, incarnation, sequence, type, entity, entity_id, severity, actor, time, data, stream_seq';
  return `INSERT INTO audit.events (${columns}) SELECT ${columns} FROM audit.events ${conflict}`;
}
