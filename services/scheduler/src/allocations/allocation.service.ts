import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { Outbox } from '#libs/persistence';
import { CommandFactory } from '../commands/command.factory.js';
import { LeaderTransaction } from '../leadership/leader-transaction.repository.js';
import { OperationTracker } from '../operations/operation.tracker.js';
import { AllocationAdvanceRepository } from './allocation-advance.repository.js';
import { AllocationRepository, type ChosenPlace } from './allocation.repository.js';
import { eventData, type StoppingAllocation } from './allocation.rows.js';
import { HostLossRepository } from './host-loss.repository.js';
import { BotQueueRepository } from './bot-queue.repository.js';
import { ResendRepository } from './resend.repository.js';

/** A bot that is to be placed, and whether its definition is newer than its last try. */
export interface Placing extends ChosenPlace {
  /** Failures of an older definition say nothing of this one. */
  readonly fresh: boolean;
}

/**
 * What the leader does to allocations. Each method is one transaction: rows, outbox and operations change together or
 * not at all, so that a crash anywhere leaves either nothing or all of it, commands included.
 */
@Injectable()
export class AllocationService {
  constructor(
    private readonly transaction: LeaderTransaction,
    private readonly allocations: AllocationRepository,
    private readonly advances: AllocationAdvanceRepository,
    private readonly hosts: HostLossRepository,
    private readonly queue: BotQueueRepository,
    private readonly resends: ResendRepository,
    private readonly commands: CommandFactory,
    private readonly outbox: Outbox,
    private readonly operations: OperationTracker,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Makes allocations and sends their start commands. Answers how many were made; the others changed meanwhile. */
  async place(places: readonly Placing[]): Promise<number> {
    return this.transaction.run(async (tx) => {
      const placed = await this.allocations.create(tx, places, this.now());
      if (placed.length === 0) return 0;
      await this.outbox.events(
        tx,
        placed.map((allocation) => ({
          type: 'tradefleet.allocation.placed' as const,
          id: allocation.id,
          actor: allocation.changedBy,
          data: eventData(allocation, 'placed'),
        })),
      );
      await this.outbox.commands(
        tx,
        await Promise.all(placed.map((allocation) => this.commands.start(allocation))),
      );
      const bots = placed.map((allocation) => allocation.bot);
      const fresh = places.filter((place) => place.fresh).map((place) => place.bot);
      await this.queue.placed(tx, bots, fresh);
      await this.operations.botsChanged(tx, bots);
      return placed.length;
    });
  }

  /** Wants allocations to end and sends their stop commands. Those that ended or were told already are left out. */
  async stop(
    stops: readonly { id: string; reason: StoppingAllocation['stopReason']; actor: string | null }[],
  ): Promise<number> {
    return this.transaction.run(async (tx) => {
      const stopping = await this.allocations.requestStop(tx, stops, this.now());
      if (stopping.length === 0) return 0;
      await this.outbox.commands(
        tx,
        await Promise.all(stopping.map((allocation) => this.commands.stop(allocation))),
      );
      await this.operations.botsChanged(
        tx,
        stopping.map((allocation) => allocation.bot),
      );
      return stopping.length;
    });
  }

  /** Sends the commands of these again, each under a new id, if they still wait for them. */
  async sendAgain(ids: readonly string[]): Promise<number> {
    return this.transaction.run(async (tx) => {
      const { starts, stops } = await this.resends.lock(tx, ids);
      const commands = [
        ...(await Promise.all(starts.map((allocation) => this.commands.start(allocation)))),
        ...(await Promise.all(stops.map((allocation) => this.commands.stop(allocation)))),
      ];
      if (commands.length === 0) return 0;
      await this.outbox.commands(tx, commands);
      const again = [...starts, ...stops].map((allocation) => allocation.id);
      await this.allocations.commandedAgain(tx, again, this.now());
      return again.length;
    });
  }

  /**
   * Declares a host down, and lost what it had under leases no longer than these. Only for leases that are surely over:
   * after this the accounts are free for others. Answers the number of lost allocations.
   * @param leases.longestMs of those that are over
   * @param leases.leaseTtlMs of the fleet
   */
  async loseHost(host: string, leases: { longestMs: number; leaseTtlMs: number }): Promise<number> {
    return this.transaction.run(async (tx) => {
      const down = await this.hosts.markDown(tx, host);
      const ids = await this.hosts.liveAllocations(tx, host, leases.longestMs, leases.leaseTtlMs);
      if (down === null && ids.length === 0) return 0;
      const lost = await this.advances.advance(
        tx,
        ids.map((id) => ({
          id,
          state: 'lost' as const,
          stage: null,
          reason: 'host-lost' as const,
          detail: 'The host was not heard of for longer than its leases.',
          attempt: 1,
          lastExit: null,
          exitCode: null,
          ran: false,
        })),
        this.now(),
      );
      const downs = down === null ? [] : [down];
      await this.outbox.events(tx, [
        ...downs.map(({ incarnation }) => ({
          type: 'tradefleet.host.down' as const,
          id: host,
          actor: 'service:scheduler',
          data: { host, incarnation, reason: 'It was not heard of for longer than its leases.' },
        })),
        ...lost.map((step) => ({
          type: 'tradefleet.allocation.lost' as const,
          id: step.id,
          actor: 'service:scheduler',
          data: eventData(step.from, step.state, step),
        })),
      ]);
      await this.operations.botsChanged(
        tx,
        lost.map((step) => step.from.bot),
      );
      return lost.length;
    });
  }

  /** Says why bots wait, where that is new; one event for each. */
  async explainWaiting(reasons: readonly { bot: string; reason: string }[]): Promise<number> {
    return this.transaction.run(async (tx) => {
      const waiting = await this.queue.explain(tx, reasons, this.now());
      if (waiting.length === 0) return 0;
      await this.outbox.events(
        tx,
        waiting.map(({ changedBy, ...bot }) => ({
          type: 'tradefleet.bot.queued' as const,
          id: bot.bot,
          actor: changedBy,
          data: { ...bot, operation: null },
        })),
      );
      await this.operations.botsChanged(
        tx,
        waiting.map(({ bot }) => bot),
      );
      return waiting.length;
    });
  }

  /** Takes the reasons off bots that no longer wait. */
  async clearWaiting(bots: readonly string[]): Promise<void> {
    await this.transaction.run(async (tx) => {
      await this.queue.clear(tx, bots);
      await this.operations.botsChanged(tx, bots);
    });
  }

  /** Removes bots that are to be deleted and of which nothing lives. Answers how many; at most `rows_max`. */
  async deleteBots(rows_max: number): Promise<number> {
    return this.transaction.run(async (tx) => {
      const deleted = await this.queue.deleteBots(tx, rows_max);
      if (deleted.length === 0) return 0;
      await this.outbox.events(
        tx,
        deleted.map(({ changedBy, ...bot }) => ({
          type: 'tradefleet.bot.deleted' as const,
          id: bot.bot,
          actor: changedBy,
          data: { ...bot, reason: null, operation: null },
        })),
      );
      await this.operations.botsChanged(
        tx,
        deleted.map(({ bot }) => bot),
      );
      return deleted.length;
    });
  }

  private now(): Date {
    return new Date(this.clock.wallMs());
  }
}
