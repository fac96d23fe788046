import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Transaction } from '#libs/persistence';

/** What is remembered of a write that carried a key. */
export interface RememberedAnswer {
  readonly operationName: string;
  readonly requestHash: string;
  readonly response: unknown;
}

/** First number of the two-part advisory lock; keeps these locks apart from others of the database. */
const lock_space = 0x1de;

@Injectable()
export class IdempotencyRepository {
  constructor(private readonly dataSource: DataSource) {}

  /**
   * Holds the key until the transaction ends and gives what is remembered of it. A second request with the same key
   * waits here until the first has committed or failed, then sees what that left.
   */
  async hold(tx: Transaction, key: string): Promise<RememberedAnswer | null> {
    await tx.query('SELECT pg_advisory_xact_lock($1, hashtext($2))', [lock_space, key]);
    const rows: RememberedAnswer[] = await tx.query(
      `SELECT operation_name AS "operationName", request_hash AS "requestHash", response
       FROM scheduler.idempotency_keys WHERE key = $1`,
      [key],
    );
    return rows[0] ?? null;
  }

  async remember(tx: Transaction, key: string, answer: RememberedAnswer): Promise<void> {
    await tx.query(
      `INSERT INTO scheduler.idempotency_keys (key, operation_name, request_hash, response)
       VALUES ($1, $2, $3, $4)`,
      [key, answer.operationName, answer.requestHash, JSON.stringify(answer.response)],
    );
  }

  /** Forgets at most `rows_max` keys older than `hours`; gives how many it forgot. */
  async forget(hours: number, rows_max: number): Promise<number> {
    const [, forgotten]: [unknown, number] = await this.dataSource.query(
      `DELETE FROM scheduler.idempotency_keys WHERE key IN (
         SELECT key FROM scheduler.idempotency_keys
         WHERE created_at < now() - make_interval(hours => $1)
         ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)`,
      [hours, rows_max],
    );
    return forgotten;
  }
}
