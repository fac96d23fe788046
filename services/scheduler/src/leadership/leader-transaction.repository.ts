import { Inject, Injectable } from '@nestjs/common';
import { inTransaction, OutboxRelay } from '#libs/persistence';
import { DataSource } from 'typeorm';
import type { Transaction } from '#libs/persistence';
import { LEADERSHIP, type Leadership } from './leadership.js';

/** A transaction that only the present leader can commit; then its outbox rows go out. */
@Injectable()
export class LeaderTransaction {
  constructor(
    private readonly dataSource: DataSource,
    @Inject(LEADERSHIP) private readonly leadership: Leadership,
    private readonly relay: OutboxRelay,
  ) {}

  /** Throws `LeadershipLost` and writes nothing when another scheduler leads. Retries what the database asks for. */
  async run<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    const result = await inTransaction(this.dataSource, async (tx) => {
      await this.leadership.guard(tx);
      return work(tx);
    });
    this.relay.wake();
    return result;
  }
}
