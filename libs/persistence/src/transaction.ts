import { SystemClock, type Clock } from '#libs/clock';
import type { DataSource, EntityManager } from 'typeorm';
import { isTransactionConflict } from './database-errors.js';

/** What is done in a transaction is done with its manager and no other. */
export type Transaction = EntityManager;

export type Isolation = 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE';

export interface TransactionOptions {
  /** Default READ COMMITTED. */
  readonly isolation?: Isolation;
  readonly clock?: Clock;
}

const attempts_max = 5;
const pause_ms_first = 10;

/**
 * Runs `work` in a transaction; runs it again, after a short random pause, when the database gave it up because of
 * others (serialization failure, deadlock), five times at most. So `work` may do nothing outside of the transaction.
 */
export async function inTransaction<T>(
  dataSource: DataSource,
  work: (manager: Transaction) => Promise<T>,
  { isolation = 'READ COMMITTED', clock = new SystemClock() }: TransactionOptions = {},
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await dataSource.transaction(isolation, work);
    } catch (error) {
      if (attempt === attempts_max || !isTransactionConflict(error)) throw error;
      await clock.sleep(pause_ms_first * 2 ** attempt * Math.random());
    }
  }
}

/** `inTransaction` on the service's data source, for those who are not to know it. */
export class TransactionRunner {
  constructor(
    private readonly dataSource: DataSource,
    private readonly clock: Clock,
  ) {}

  async run<T>(work: (manager: Transaction) => Promise<T>, isolation?: Isolation): Promise<T> {
    const options = isolation === undefined ? { clock: this.clock } : { clock: this.clock, isolation };
    return await inTransaction(this.dataSource, work, options);
  }
}
