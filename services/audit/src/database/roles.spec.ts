import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startPostgres, waitFor, withClient, type TestPostgres } from '#libs/testing';
import { startAudit } from '../audit.process.js';
import { UnsafeRole } from '../errors.js';
import { AuditFixture } from '../testing/audit.fixture.js';
import { prepareDatabase } from './prepare-database.js';

/** What SQL of either role may never do to the log. */
const attacks: readonly (readonly [what: string, sql: string])[] = [
  ['change an event', "UPDATE audit.events SET actor = 'user:nobody'"],
  ['change one in its partition', "UPDATE audit.events_trading SET actor = 'user:nobody'"],
  ['change one in its month', 'UPDATE month SET position = 7'],
  [
    'change one by a conflict',
    insertOf('ON CONFLICT (id, time, retention) DO UPDATE SET actor = excluded.actor'),
  ],
  [
    'change one by a merge',
    'MERGE INTO audit.events e USING audit.events n ON e.id = n.id WHEN MATCHED THEN DELETE',
  ],
  ['lock a record', 'SELECT id FROM audit.events FOR UPDATE'],
  ['remove an event', 'DELETE FROM audit.events'],
  ['remove one from its month', 'DELETE FROM month'],
  ['add one to its month alone', 'INSERT INTO month DEFAULT VALUES'],
  ['empty the table', 'TRUNCATE audit.events'],
  ['empty a month', 'TRUNCATE month'],
  ['take a month out', 'ALTER TABLE audit.events_trading DETACH PARTITION month'],
  ['drop a month', 'DROP TABLE month'],
  ['drop the table', 'DROP TABLE audit.events'],
  ['drop the schema', 'DROP SCHEMA audit CASCADE'],
  ['change the table', 'ALTER TABLE audit.events DROP COLUMN actor'],
  ['take the table', 'ALTER TABLE audit.events OWNER TO CURRENT_USER'],
  ['drop an index', 'DROP INDEX audit.events_by_time'],
  ['lock others out', 'BEGIN; LOCK TABLE audit.events IN ACCESS EXCLUSIVE MODE; COMMIT'],
  ['hide rows behind a policy', 'CREATE POLICY hide ON audit.events USING (false)'],
  ['rewrite with a rule', 'CREATE RULE nothing AS ON INSERT TO audit.quarantine DO INSTEAD NOTHING'],
  [
    'rewrite with a trigger',
    'CREATE TRIGGER t BEFORE INSERT ON audit.events FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()',
  ],
  [
    'replace the function of the owner',
    'CREATE OR REPLACE FUNCTION audit.ensure_partitions(a date, b date) RETURNS int LANGUAGE sql AS $$ SELECT 1 $$',
  ],
  ['change the function of the owner', 'ALTER FUNCTION audit.ensure_partitions SECURITY INVOKER'],
  ['make a table beside it', 'CREATE TABLE audit.mine (id int)'],
  ['pretend that migrations ran', "INSERT INTO audit.migrations (timestamp, name) VALUES (1, 'x')"],
  ['change a tile', "UPDATE audit.tiles SET hashes = ''"],
  ['remove a checkpoint', 'DELETE FROM audit.checkpoints'],
  ['free something of the quarantine', 'DELETE FROM audit.quarantine'],
  ['read what was put aside', 'SELECT body FROM audit.quarantine'],
  ['make a gap unseen', 'DELETE FROM audit.gaps'],
  ['empty the head', 'TRUNCATE audit_work.head'],
  ['allow itself more', 'GRANT ALL ON audit.events TO CURRENT_USER'],
  ['make itself mighty', 'ALTER ROLE CURRENT_USER SUPERUSER'],
  ['become the owner', 'SET ROLE postgres'],
  ['run a program', "COPY audit.tiles TO PROGRAM 'true'"],
];

const writerAttacks = [
  ['read the body of an event', 'SELECT data FROM audit.events'],
  ['read all of an event', 'SELECT * FROM audit.events'],
  ['read the free text of an event', 'SELECT details FROM audit.events'],
  ['read who acted', 'SELECT actor FROM audit.events'],
  ['read a body by returning it', `${insertOf('')} RETURNING data`],
] as const;

const readerAttacks = [
  ['add an event', insertOf('')],
  ['add to the quarantine', `INSERT INTO audit.quarantine (digest) VALUES (sha256('x'))`],
  ['add a checkpoint', `INSERT INTO audit.checkpoints (origin) VALUES ('x')`],
  ['move the head', 'UPDATE audit_work.head SET size = 0'],
  ['forget a producer', 'DELETE FROM audit_work.producers'],
  ['take a key', 'UPDATE audit_work.subjects SET wrapped_key = wrapped_key'],
  ['send an event', `INSERT INTO audit_work.outbox (message_id, body) VALUES (gen_random_uuid(), '')`],
  ['read what waits to be sent', 'SELECT * FROM audit_work.outbox'],
  ['have partitions made', 'SELECT audit.ensure_partitions(current_date, current_date)'],
] as const;

describe('the roles of the audit database', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;
  /** The partition that holds the event. */
  let month: string;

  beforeAll(async () => {
    postgres = await startPostgres();
    fixture = await AuditFixture.create(await postgres.createDatabase());
    await fixture.start();
    await fixture.publish(fixture.event());
    await waitFor(async () => (await fixture.recordedIds()).length === 1);
    const [row] = await fixture.query<{ name: string }>(
      'SELECT tableoid::regclass::text AS name FROM audit.events',
    );
    month = row?.name ?? '';
  });
  afterAll(async () => {
    await fixture.stop();
    await postgres.stop();
  });

  const as = async (url: string, sql: string) =>
    await withClient(
      url,
      async (client) => (await client.query<object>(sql.replaceAll(/\bmonth\b/g, month))).rows,
    );
  const asWriter = async (sql: string) => await as(fixture.config.databaseUrl, sql);
  const asReader = async (sql: string) => await as(fixture.config.readerDatabaseUrl, sql);
  const nameOf = (url: string) => new URL(url).username;

  /** What an attack could have changed. */
  async function everything() {
    return {
      events: await fixture.query('SELECT * FROM audit.events'),
      head: await fixture.query('SELECT * FROM audit_work.head'),
      producers: await fixture.query('SELECT * FROM audit_work.producers'),
      tables: await fixture.query(
        `SELECT oid, relname, relacl::text, relowner FROM pg_class WHERE relnamespace IN ('audit'::regnamespace, 'audit_work'::regnamespace)
          ORDER BY oid`,
      ),
    };
  }

  async function expectRefused(ask: (sql: string) => Promise<unknown>, sql: string) {
    const before = await everything();
    const outcome = await ask(sql).then(
      () => 'done',
      (error: unknown) => (error as { code?: unknown }).code,
    );
    expect(await everything()).toEqual(before);
    // The database only warns of a GRANT that grants nothing; what counts is that nothing is different.
    expect(outcome).toBe(sql.startsWith('GRANT') ? 'done' : '42501');
  }

  it.each([...attacks, ...writerAttacks])('do not let the writer %s', async (_, sql) => {
    await expectRefused(asWriter, sql);
  });

  it.each([...attacks, ...readerAttacks])('do not let the reader %s', async (_, sql) => {
    await expectRefused(asReader, sql);
  });

  it('let the writer see what it needs to know an event again, and the reader all of it', async () => {
    expect(
      await asWriter('SELECT id, time, position, leaf_hash, recorded_at FROM audit.events'),
    ).toHaveLength(1);
    expect(await asReader('SELECT * FROM audit.events')).toHaveLength(1);
    expect(await asReader('SELECT * FROM audit_work.producers')).toHaveLength(1);
  });

  it.each([
    ['the year one', "'0001-01-01', '0001-01-01'"],
    ['infinity', "'infinity', 'infinity'"],
    ['minus infinity', "'-infinity', current_date"],
    ['far ahead', 'current_date + 500, current_date + 500'],
    ['long ago', 'current_date - 600, current_date'],
    ['backwards', 'current_date, current_date - 1'],
    ['more than two years', 'current_date - 400, current_date + 390'],
    ['nothing', 'NULL, current_date'],
  ])('let the writer have no partitions made for %s', async (_, dates) => {
    const before = await everything();
    await expect(asWriter(`SELECT audit.ensure_partitions(${dates})`)).rejects.toMatchObject({
      code: '22023',
    });
    expect(await everything()).toEqual(before);
  });

  it('give a function of the same name in the search path of the writer no part in the making', async () => {
    await asWriter(
      `CREATE FUNCTION pg_temp.to_char(date, text) RETURNS text LANGUAGE sql AS $$ SELECT 'x; DROP SCHEMA audit CASCADE' $$;
       SET search_path = pg_temp, pg_catalog; SET timezone = 'Pacific/Kiritimati'; SET datestyle = 'SQL, DMY';
       SELECT audit.ensure_partitions((current_date - 300), (current_date - 300))`,
    );
    const made = await fixture.query<{ name: string; bounds: string }>(
      `SELECT relname AS name, pg_get_expr(relpartbound, oid) AS bounds FROM pg_class
        WHERE relname = 'events_audit_' || to_char(current_date - 300, 'YYYY_MM')`,
    );
    expect(made).toHaveLength(1);
    expect(made[0]?.bounds).toMatch(
      /FROM \('\d{4}-\d\d-01 00:00:00\+00'\) TO \('\d{4}-\d\d-01 00:00:00\+00'\)/,
    );
  });

  it.each(['databaseUrl', 'readerDatabaseUrl'] as const)(
    'take away what somebody gave the role of %s, at the next start',
    async (url) => {
      const role = nameOf(fixture.config[url]);
      await fixture.query(`GRANT UPDATE, DELETE ON audit.events, ${month} TO ${role}`);
      await fixture.query(`GRANT TRUNCATE ON audit_work.producers TO ${role}`);
      await prepareDatabase(fixture.config, fixture.logger);
      for (const sql of ['DELETE FROM audit.events', 'DELETE FROM month', 'TRUNCATE audit_work.producers'])
        await expect(as(fixture.config[url], sql)).rejects.toMatchObject({ code: '42501' });
    },
  );

  it.each([
    ['the owner as the writer', () => ({ databaseUrl: fixture.ownerUrl }), 'act as superuser'],
    ['the owner as the reader', () => ({ readerDatabaseUrl: fixture.ownerUrl }), 'act as superuser'],
    [
      'the reader as the writer',
      () => ({ databaseUrl: fixture.config.readerDatabaseUrl }),
      'read audit.events.data',
    ],
    [
      'the writer as the reader',
      () => ({ readerDatabaseUrl: fixture.config.databaseUrl }),
      'INSERT audit.events',
    ],
  ])('make the service refuse %s', async (_, settings, why) => {
    const config = { ...fixture.config, ...settings(), databaseOwnerUrl: undefined };
    const starting = startAudit({ config, logger: fixture.logger });
    await expect(starting).rejects.toThrow(UnsafeRole);
    await expect(starting).rejects.toThrow(why);
  });

  it.each([
    [
      'may update a month',
      (role: string) => [`GRANT UPDATE ON ${month} TO ${role}`, `REVOKE UPDATE ON ${month} FROM ${role}`],
    ],
    [
      'may update one column',
      (role: string) => [
        `GRANT UPDATE (actor) ON audit.events TO ${role}`,
        `REVOKE UPDATE (actor) ON audit.events FROM ${role}`,
      ],
    ],
    [
      'may become one who writes all data',
      (role: string) => [`GRANT pg_write_all_data TO ${role}`, `REVOKE pg_write_all_data FROM ${role}`],
    ],
    [
      'may make roles',
      (role: string) => [`ALTER ROLE ${role} CREATEROLE`, `ALTER ROLE ${role} NOCREATEROLE`],
    ],
    [
      'may make tables in the schema',
      (role: string) => [
        `GRANT CREATE ON SCHEMA audit TO ${role}`,
        `REVOKE CREATE ON SCHEMA audit FROM ${role}`,
      ],
    ],
  ])('make the service refuse a writer that %s', async (_, statements) => {
    const [give = '', take = ''] = statements(nameOf(fixture.config.databaseUrl));
    await fixture.query(give);
    try {
      const config = { ...fixture.config, databaseOwnerUrl: undefined };
      await expect(startAudit({ config, logger: fixture.logger })).rejects.toThrow(UnsafeRole);
    } finally {
      await fixture.query(take);
    }
  });
});

function insertOf(conflict: string): string {
  const given =
    'id, position, source, incarnation, sequence, type, entity, entity_id, severity, retention, actor, time, data, recorded_at, leaf_hash';
  const values = `gen_random_uuid(), 9, '/audit', gen_random_uuid(), 1, 't', 'e', 'i', 'info', 'trading', 'a', now(), '{}', now(), sha256('x')`;
  return `INSERT INTO audit.events (${given}) SELECT ${values} ${conflict}`;
}
