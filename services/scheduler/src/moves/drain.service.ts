import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { Outbox, type Transaction } from '#libs/persistence';
import { LeaderTransaction } from '../leadership/leader-transaction.repository.js';
import { OperationTracker } from '../operations/operation.tracker.js';
import { DrainRepository, type DrainNews } from './drain.repository.js';

/** Says when a drain has passed its deadline and when it has left nothing, once each. */
@Injectable()
export class DrainService {
  constructor(
    private readonly transaction: LeaderTransaction,
    private readonly drains: DrainRepository,
    private readonly outbox: Outbox,
    private readonly operations: OperationTracker,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async tell(): Promise<void> {
    const now = new Date(this.clock.wallMs());
    if (!(await this.drains.hasNews(now))) return;
    await this.transaction.run(async (tx) => {
      const overdue = await this.drains.markOverdue(tx, now);
      const ended = await this.drains.markEnded(tx, now);
      await this.events(tx, 'tradefleet.host.drain-overdue', overdue, now);
      await this.events(tx, 'tradefleet.host.drained', ended, now);
      // What no host could take by then has failed to move; the operation says so and ends.
      const hosts = overdue.map((drain) => drain.host);
      if (hosts.length > 0) await this.operations.botsChanged(tx, await this.drains.botsOn(tx, hosts));
    });
  }

  private async events(
    tx: Transaction,
    type: 'tradefleet.host.drain-overdue' | 'tradefleet.host.drained',
    drains: readonly DrainNews[],
    now: Date,
  ): Promise<void> {
    if (drains.length === 0) return;
    await this.outbox.events(
      tx,
      drains.map(({ by, begunAt, ...drain }) => ({
        type,
        id: drain.host,
        actor: by,
        data: { ...drain, tookMs: Math.max(0, now.getTime() - begunAt.getTime()) },
      })),
    );
  }
}
