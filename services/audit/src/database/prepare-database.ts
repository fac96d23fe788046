import { createDataSource, outboxMigrations, runMigrations, type DatabaseOptions } from '#libs/persistence';
import type { Logger } from '#libs/telemetry';
import type { AuditConfig } from '../audit.config.js';
import { EventsAndQuarantine1700000000001 } from './migrations/0001-events-and-quarantine.js';
import { Log1700000000002 } from './migrations/0002-log.js';
import { PrivacyAndRetention1700000000003 } from './migrations/0003-privacy-and-retention.js';
import { QueryIndexes1700000000004 } from './migrations/0004-query-indexes.js';
import { Security1700000000005 } from './migrations/0005-security.js';
import { ToldArchives1700000000006 } from './migrations/0006-told-archives.js';
import { Upkeep1700000000007 } from './migrations/0007-upkeep.js';
import { writeSecurityTypes } from '../security/security.types.js';
import { auditSchema, grantRole, roleUrls, workSchema, type Queryable, type RoleKind } from './roles.js';

const applicationName = 'tradefleet-audit';

const migrations = [
  ...outboxMigrations(workSchema),
  EventsAndQuarantine1700000000001,
  Log1700000000002,
  PrivacyAndRetention1700000000003,
  QueryIndexes1700000000004,
  Security1700000000005,
  ToldArchives1700000000006,
  Upkeep1700000000007,
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

/** The connection that archives and drops; a partition is read and counted by single statements. */
export const keeperOptions = (url: string): DatabaseOptions => ({
  url,
  schema: auditSchema,
  poolMax: 1,
  applicationName: `${applicationName}-keeper`,
  statementTimeoutMs: 600_000,
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
      await setRetentionMonths(manager, config.retentionMonths);
      await setQuarantineDays(manager, config.quarantineDays);
      await writeSecurityTypes(manager);
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

/** Only the owner says how long something is kept: who drops what is due does not. */
async function setRetentionMonths(owner: Queryable, months: AuditConfig['retentionMonths']): Promise<void> {
  await owner.query(
    `INSERT INTO audit.retention_months AS old SELECT * FROM unnest($1::text[], $2::integer[])
     ON CONFLICT (class) DO UPDATE SET months = excluded.months WHERE old.months <> excluded.months`,
    [Object.keys(months), Object.values(months)],
  );
}

async function setQuarantineDays(owner: Queryable, days: number): Promise<void> {
  await owner.query('UPDATE audit.quarantine_retention SET days = $1 WHERE days <> $1', [days]);
}
