import { Injectable } from '@nestjs/common';
import type { Transaction } from '#libs/persistence';
import { DataSource } from 'typeorm';
import { nobody } from './leader-row.js';

/** What is put right after an older state of the database has come back. */
@Injectable()
export class RestoreRepository {
  constructor(private readonly dataSource: DataSource) {}

  /** Leaves the lead to nobody, above the term that was seen; whoever leads next knows that it was restored. */
  async raiseTerm(tx: Transaction, seen: number): Promise<void> {
    await tx.query(
      `UPDATE scheduler.leadership SET term = greatest(term, $1), holder = $2, renewal = renewal + 1, restored = true`,
      [seen, nobody],
    );
  }

  /** Epochs that were given out after the backup must not be given out again. */
  async raiseEpochs(tx: Transaction, by: number): Promise<void> {
    await tx.query(
      `UPDATE scheduler.fences SET epoch = epoch + $1
       WHERE account IN (SELECT account FROM scheduler.fences ORDER BY account FOR NO KEY UPDATE)`,
      [by],
    );
  }

  async settle(tx: Transaction): Promise<void> {
    await tx.query('UPDATE scheduler.leadership SET restored = false');
  }

  /** Longest lease that any bot may have, where some have their own; 0 when none has. */
  async longestOwnLeaseMs(): Promise<number> {
    const [row] = await this.dataSource.query<{ longest: number }[]>(
      `SELECT greatest((SELECT max((policies ->> 'leaseTtlMs')::int) FROM scheduler.bots),
                       (SELECT max(lease_ttl_ms) FROM scheduler.allocations), 0) AS longest`,
    );
    return row?.longest ?? 0;
  }
}
