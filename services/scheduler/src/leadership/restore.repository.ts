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
      `UPDATE scheduler.leadership SET term = greatest(term, $1), forgotten_term = greatest(term, $1), holder = $2,
         renewal = renewal + 1, restored = true`,
      [seen, nobody],
    );
  }

  /** Epochs that were given out after the backup must not be given out again, of accounts it does not know neither. */
  async raiseEpochs(tx: Transaction, by: number): Promise<void> {
    await tx.query('UPDATE scheduler.leadership SET epoch_floor = epoch_floor + $1', [by]);
    await tx.query(
      `UPDATE scheduler.fences SET epoch = epoch + $1
       WHERE account IN (SELECT account FROM scheduler.fences ORDER BY account FOR NO KEY UPDATE)`,
      [by],
    );
  }

  /** Every lease of earlier leaders is over. @param leaseTtlMs the longest that the present one gives */
  async settle(tx: Transaction, leaseTtlMs: number): Promise<void> {
    await tx.query('UPDATE scheduler.leadership SET restored = false, lease_ttl_ms = $1', [leaseTtlMs]);
  }

  /** All registered hosts, also those that are down: what is so by this database may not be so. */
  async hosts(): Promise<string[]> {
    const rows = await this.dataSource.query<{ name: string }[]>('SELECT name FROM scheduler.hosts');
    return rows.map(({ name }) => name);
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
