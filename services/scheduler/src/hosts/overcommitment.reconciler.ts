import { CLOCK, type Clock } from '#libs/clock';
import { Outbox } from '#libs/persistence';
import { Inject, Injectable } from '@nestjs/common';
import { LeaderTransaction } from '../leadership/leader-transaction.repository.js';
import { batch_rows_max, type Reconciler } from '../reconciliation/reconciler.js';
import { HostUpkeepRepository } from './host-upkeep.repository.js';

/** Capacities change seldom, passes are many. */
const look_every_ms = 2000;

/**
 * Tells, once, when a host has less than what is reserved on it: its machine has shrunk, or keeps more for itself.
 * Nothing is ended for that; placement gives it nothing more by itself, because nothing fits.
 */
@Injectable()
export class OvercommitmentReconciler implements Reconciler {
  readonly name = 'overcommitment';
  private looked_ms = -Infinity;

  constructor(
    private readonly hosts: HostUpkeepRepository,
    private readonly transaction: LeaderTransaction,
    private readonly outbox: Outbox,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async reconcile(): Promise<boolean> {
    const now_ms = this.clock.monotonicMs();
    if (now_ms - this.looked_ms < look_every_ms) return false;
    const changed = (await this.hosts.hasCommitmentChanges()) ? await this.note() : 0;
    if (changed < batch_rows_max) this.looked_ms = now_ms;
    return changed === batch_rows_max;
  }

  private async note(): Promise<number> {
    return await this.transaction.run(async (tx) => {
      const changes = await this.hosts.noteCommitments(tx, new Date(this.clock.wallMs()), batch_rows_max);
      const events = changes
        .filter((change) => change.overcommitted)
        .map(({ host, incarnation, reason }) => ({
          type: 'tradefleet.host.overcommitted' as const,
          id: host,
          actor: 'service:scheduler',
          data: { host, incarnation, reason },
        }));
      if (events.length > 0) await this.outbox.events(tx, events);
      return changes.length;
    });
  }
}
