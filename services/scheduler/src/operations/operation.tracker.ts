import { newId, type OperationKind, type OperationState } from '#libs/contracts';
import { Outbox } from '#libs/persistence';
import { Injectable } from '@nestjs/common';
import { AfterCommit } from '../database/after-commit.js';
import type { Transaction } from '#libs/persistence';
import type { Asker } from '../requests/asker.js';
import { OperationRepository, type NewTarget, type OperationRow } from './operation.repository.js';
import { OperationWaiters } from './operation.waiters.js';

/** Failures in a row after which a bot that should run is said to have failed; it is tried on nevertheless. */
export const bot_failures_max = 3;

/** Begins operations and ends them when their bots are where they should be. */
@Injectable()
export class OperationTracker {
  constructor(
    private readonly operations: OperationRepository,
    private readonly waiters: OperationWaiters,
    private readonly afterCommit: AfterCommit,
    private readonly outbox: Outbox,
  ) {}

  /**
   * Records an operation and settles at once what has been reached already. Call it last in the transaction that
   * changed the bots. Gives the operation's id.
   */
  async begin(
    tx: Transaction,
    asker: Asker,
    kind: OperationKind,
    targets: readonly NewTarget[],
    id = newId(),
  ): Promise<string> {
    const total = targets.length;
    await this.operations.insert(tx, { id, kind, by: asker.actor, targets });
    await this.outbox.event(tx, {
      type: 'tradefleet.operation.accepted',
      id,
      data: { operation: id, kind, state: total === 0 ? 'succeeded' : 'running', total, failed: 0 },
      ...asker,
    });
    if (total === 0) {
      await this.announce(tx, [
        { id, kind, state: 'succeeded', requested_by: asker.actor, total, failed: 0 },
      ]);
    } else {
      const bots = targets.map((target) => target.bot);
      await this.operations.holdAllocations(tx, bots);
      await this.botsChanged(tx, bots);
    }
    return id;
  }

  /**
   * Settles the running targets of these bots by what the database now says: their desired state, allocations and
   * reasons to wait. To be called in the transaction that changed any of these, once, as its last statement: it locks
   * the rows of operations, which are hot.
   */
  async botsChanged(tx: Transaction, bots: readonly string[]): Promise<void> {
    if (bots.length === 0) return;
    const moved = await this.operations.settle(tx, bots, bot_failures_max);
    await this.announce(
      tx,
      moved.filter((operation) => operation.state !== 'running'),
    );
  }

  /**
   * Settles targets that nobody but their maker can judge (goal `rolled-out`). To be called once, as the last statement
   * of the transaction.
   */
  async settle(
    tx: Transaction,
    operation: string,
    outcomes: readonly { bot: string; state: OperationState; reason: string | null }[],
  ): Promise<void> {
    const settled = await this.operations.settleEach(tx, operation, outcomes);
    if (settled !== null && settled.state !== 'running') await this.announce(tx, [settled]);
  }

  private async announce(tx: Transaction, ended: readonly OperationRow[]): Promise<void> {
    for (const { id, kind, state, total, failed, requested_by } of ended) {
      await this.outbox.event(tx, {
        type: 'tradefleet.operation.ended',
        id,
        data: { operation: id, kind, state, total, failed },
        actor: requested_by,
      });
    }
    if (ended.length > 0) this.afterCommit.run(tx, () => this.waiters.wake(ended.map(({ id }) => id)));
  }
}
