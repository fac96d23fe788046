import { createDataSource, runMigrations, type DatabaseOptions } from '#libs/persistence';
import type { Logger } from '#libs/telemetry';
import type { DataSource } from 'typeorm';
import type { AuditConfig } from '../audit.config.js';
import { NotMigrated, UnsafeRole } from '../errors.js';
import { EventsAndQuarantine1700000000001 } from './migrations/0001-events-and-quarantine.js';
import { scramVerifier } from './scram.js';

export const auditSchema = 'audit';
const applicationName = 'tradefleet-audit';
const tables = ['audit.events', 'audit.quarantine'] as const;

/** The service's own connection: the writer's. */
export const writerOptions = (config: AuditConfig): DatabaseOptions => ({
  url: config.databaseUrl,
  schema: auditSchema,
  poolMax: config.databasePoolMax,
  applicationName,
});

/**
 * As the owner, if we are given it: runs migrations, makes the writer's role and allows it to add and to read,
 * nothing else. Safe to repeat, and to run by several processes at once.
 */
export async function prepareDatabase(config: AuditConfig, logger: Logger): Promise<void> {
  if (config.databaseOwnerUrl === undefined) return;
  const owner = { url: config.databaseOwnerUrl, schema: auditSchema, applicationName };
  const migrations = await runMigrations({ ...owner, migrations: [EventsAndQuarantine1700000000001] });
  if (migrations.length > 0) logger.info({ migrations }, 'migrations ran');
  const dataSource = await createDataSource({ ...owner, poolMax: 1 }).initialize();
  try {
    await dataSource.transaction(async (manager) => {
      // Two starting at once would both make the role, and both would write the same catalogue rows.
      await manager.query("SELECT pg_advisory_xact_lock(hashtextextended('tradefleet:audit:role', 0))");
      await grantWriter(manager, new URL(config.databaseUrl), await canLogIn(config.databaseUrl));
    });
  } finally {
    await dataSource.destroy();
  }
}

type Queryable = Pick<DataSource, 'query'>;

async function grantWriter(owner: Queryable, writer: URL, hasLogin: boolean): Promise<void> {
  const name = decodeURIComponent(writer.username);
  const role = quoteIdentifier(name);
  const existing = await owner.query<unknown[]>('SELECT 1 FROM pg_roles WHERE rolname = $1', [name]);
  if (existing.length === 0) await owner.query(`CREATE ROLE ${role} LOGIN`);
  if (!hasLogin) {
    const verifier = scramVerifier(decodeURIComponent(writer.password));
    await owner.query(`ALTER ROLE ${role} LOGIN PASSWORD '${verifier}'`);
  }
  await owner.query(`
    REVOKE ALL ON SCHEMA ${auditSchema} FROM PUBLIC, ${role};
    REVOKE ALL ON ALL TABLES IN SCHEMA ${auditSchema} FROM PUBLIC, ${role};
    GRANT USAGE ON SCHEMA ${auditSchema} TO ${role};
    GRANT SELECT, INSERT ON ${tables.join(', ')} TO ${role};
  `);
}

/** Whether the writer's URL works as it is: then its password is left alone. */
async function canLogIn(url: string): Promise<boolean> {
  const dataSource = createDataSource({ url, schema: auditSchema, poolMax: 1, applicationName });
  try {
    await dataSource.initialize();
  } catch {
    // Whatever the reason, it will show again, and be told, when the service connects.
    return false;
  }
  await dataSource.destroy();
  return true;
}

/** Refuses to go on as a role that could change, remove or hide what it records. Throws `UnsafeRole`, `NotMigrated`. */
export async function requireWriterOnly(dataSource: Queryable): Promise<void> {
  const rows = await dataSource.query<
    { role: string; found: boolean; privilege: string; allowed: boolean }[]
  >(
    `SELECT current_user AS role, class IS NOT NULL AS found, privilege,
            coalesce(has_table_privilege(class, privilege), false) AS allowed
       FROM unnest($1::text[]) AS name
       CROSS JOIN unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) AS privilege
       CROSS JOIN LATERAL to_regclass(name) AS class`,
    [tables],
  );
  if (rows.some((row) => !row.found)) throw new NotMigrated();
  const dangerous = [...new Set(rows.filter((row) => row.allowed).map((row) => row.privilege))];
  if (dangerous.length > 0) throw new UnsafeRole(rows[0]?.role ?? 'unknown', dangerous);
}

const quoteIdentifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;
