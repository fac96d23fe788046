import { createDataSource, outboxMigrations, runMigrations, type DatabaseOptions } from '#libs/persistence';
import type { Logger } from '#libs/telemetry';
import type { AuditConfig } from '../audit.config.js';
import { EventsAndQuarantine1700000000001 } from './migrations/0001-events-and-quarantine.js';
import { Log1700000000002 } from './migrations/0002-log.js';
import { auditSchema, grantRole, roleUrls, workSchema, type RoleKind } from './roles.js';

const applicationName = 'tradefleet-audit';

const migrations = [
  ...outboxMigrations(workSchema),
  EventsAndQuarantine1700000000001,
  Log1700000000002,
] as const;

/** The connections that record. */
export const writerOptions = (config: AuditConfig): DatabaseOptions => ({
  url: config.databaseUrl,
  schema: auditSchema,
  poolMax: config.databasePoolMax,
  applicationName,
});

/** The connections of queries. */
export const readerOptions = (config: AuditConfig): DatabaseOptions => ({
  url: config.readerDatabaseUrl,
  schema: auditSchema,
  poolMax: config.databasePoolMax,
  applicationName: `${applicationName}-reader`,
});

/**
 * As the owner, if we are given it: runs migrations, makes the roles and allows each what it needs, nothing else. Safe
 * to repeat, and to run by several processes at once.
 */
export async function prepareDatabase(config: AuditConfig, logger: Logger): Promise<void> {
  if (config.databaseOwnerUrl === undefined) return;
  const owner = { url: config.databaseOwnerUrl, schema: auditSchema, applicationName };
  const ran = await runMigrations({ ...owner, otherSchemas: [workSchema], migrations });
  if (ran.length > 0) logger.info({ migrations: ran }, 'migrations ran');
  const dataSource = await createDataSource({ ...owner, poolMax: 1 }).initialize();
  try {
    await dataSource.transaction(async (manager) => {
      // Two starting at once would both make the roles, and both would write the same catalogue rows.
      await manager.query("SELECT pg_advisory_xact_lock(hashtextextended('tradefleet:audit:role', 0))");
      for (const [kind, url] of Object.entries(roleUrls(config)))
        await grantRole(manager, kind as RoleKind, new URL(url), await canLogIn(url));
    });
  } finally {
    await dataSource.destroy();
  }
}

/** Whether a role's URL works as it is: then its password is left alone. */
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
