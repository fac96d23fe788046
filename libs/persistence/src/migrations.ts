import type { DataSource } from 'typeorm';
import { createDataSource, requireIdentifier, type DatabaseOptions } from './data-source.js';

/** Longest wait for another process that migrates the same schema. */
const lock_wait_ms = 120_000;
const statement_ms_max = 600_000;

export interface MigrationOptions extends DatabaseOptions {
  /** Further schemas of the same owner, made unless they are there, for migrations that work in several. */
  readonly otherSchemas?: readonly string[];
}

/**
 * Makes the schema unless it is there and runs what has not run yet, each migration in a transaction, one process at
 * a time. `url` is that of the schema's owner. Returns the names of the migrations it ran.
 */
export async function runMigrations(options: MigrationOptions): Promise<string[]> {
  const dataSource = createDataSource({
    ...options,
    entities: [],
    poolMax: 2,
    applicationName: `${options.applicationName}-migrations`,
    statementTimeoutMs: statement_ms_max,
    lockTimeoutMs: lock_wait_ms,
    // The connection that holds the lock stands still while the other works; it is in no transaction.
    idleInTransactionTimeoutMs: statement_ms_max,
  });
  await dataSource.initialize();
  try {
    const others = (options.otherSchemas ?? []).map(requireIdentifier);
    return await underLock(dataSource, options.schema, others);
  } finally {
    await dataSource.destroy();
  }
}

async function underLock(
  dataSource: DataSource,
  schema: string,
  others: readonly string[],
): Promise<string[]> {
  const lock = dataSource.createQueryRunner();
  const key = `tradefleet:migrations:${schema}`;
  try {
    await lock.query('SELECT pg_advisory_lock(hashtextextended($1, 0))', [key]);
    for (const name of [schema, ...others]) await lock.query(`CREATE SCHEMA IF NOT EXISTS ${name}`);
    const ran = await dataSource.runMigrations({ transaction: 'each' });
    return ran.map((migration) => migration.name);
  } finally {
    // The lock is the session's: it ends with the pool's connections, on the way out of a failure too.
    await lock.release();
  }
}
