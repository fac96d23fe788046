import type { EventEmitter } from 'node:events';
import { DataSource, type EntitySchema, type Logger, type MixedList } from 'typeorm';

type ClassOrFunction = abstract new (...args: never[]) => object;

/** How one service reaches its part of the database. */
export interface DatabaseOptions {
  /** `postgres://user:password@host:port/database`. */
  readonly url: string;
  /** The service's own schema; entities without one live in it, and its migrations are recorded in it. */
  readonly schema: string;
  readonly entities?: readonly (ClassOrFunction | EntitySchema)[];
  /** Classes of migrations; run in the order of the time stamps in their names. */
  readonly migrations?: readonly ClassOrFunction[];
  /** Connections at most. Default 10. */
  readonly poolMax?: number;
  /** Shown in `pg_stat_activity`. */
  readonly applicationName: string;
  /** The longest a statement may take. Default 30 s. */
  readonly statementTimeoutMs?: number;
  /** The longest a statement waits for a lock. Default 10 s. */
  readonly lockTimeoutMs?: number;
  /** The longest a transaction may stand still. Default 30 s. */
  readonly idleInTransactionTimeoutMs?: number;
}

const connect_timeout_ms = 10_000;

/** TypeORM would print to the console, past our log; what goes wrong is thrown, and told by whoever catches it. */
const silent: Logger = {
  logQuery: () => undefined,
  logQueryError: () => undefined,
  logQuerySlow: () => undefined,
  logSchemaBuild: () => undefined,
  logMigration: () => undefined,
  log: () => undefined,
};

/** A data source with every wait bounded. Not yet connected: `initialize()` does that. */
export function createDataSource(options: DatabaseOptions): DataSource {
  const {
    statementTimeoutMs = 30_000,
    lockTimeoutMs = 10_000,
    idleInTransactionTimeoutMs = 30_000,
  } = options;
  requireIdentifier(options.schema);
  return new DataSource({
    type: 'postgres',
    url: options.url,
    schema: options.schema,
    entities: [...(options.entities ?? [])] as MixedList<ClassOrFunction | EntitySchema> as [],
    migrations: [...(options.migrations ?? [])] as [],
    migrationsTableName: 'migrations',
    applicationName: options.applicationName,
    poolSize: options.poolMax ?? 10,
    connectTimeoutMS: connect_timeout_ms,
    // The schema is made by migrations and by nothing else.
    synchronize: false,
    installExtensions: false,
    logging: false,
    logger: silent,
    extra: {
      statement_timeout: statementTimeoutMs,
      lock_timeout: lockTimeoutMs,
      idle_in_transaction_session_timeout: idleInTransactionTimeoutMs,
      // The server ends a statement; this covers a server that no longer answers at all.
      query_timeout: statementTimeoutMs + 5000,
      keepAlive: true,
      onConnect: outliveItsEnd,
    },
  });
}

/**
 * A connection that ends in the very moment in which the pool hands it over, new, has nobody who listens: the pool no
 * longer does, and TypeORM does not yet. Its error would end the process. Whoever has it finds out with the next query.
 */
function outliveItsEnd(client: EventEmitter): void {
  client.on('error', () => undefined);
}

/** Names of schemas are written into SQL; only plain ones are taken. */
export function requireIdentifier(name: string): string {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(name)) throw new Error(`"${name}" is not a plain SQL identifier`);
  return name;
}
