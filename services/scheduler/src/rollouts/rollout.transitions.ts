import {
  hasEnded,
  type EventData,
  type OperationState,
  type RolloutState,
  type RolloutTargetState,
} from '#libs/contracts';
import { Outbox, type Transaction } from '#libs/persistence';
import { Injectable } from '@nestjs/common';
import { OperationTracker } from '../operations/operation.tracker.js';
import { RolloutRepository } from './rollout.repository.js';
import type { RolloutRow, TargetRow } from './rollout.rows.js';

type RolloutEvent =
  | 'tradefleet.rollout.created'
  | 'tradefleet.rollout.batch-started'
  | 'tradefleet.rollout.paused'
  | 'tradefleet.rollout.resumed'
  | 'tradefleet.rollout.reverting'
  | 'tradefleet.rollout.reverted'
  | 'tradefleet.rollout.succeeded'
  | 'tradefleet.rollout.failed'
  | 'tradefleet.rollout.aborted';

/** Bots that one event names. */
const bots_named_max = 100;

/** How a rollout gets from one state to the next, and who is told: by a person and by the reconciler alike. */
@Injectable()
export class RolloutTransitions {
  constructor(
    private readonly rollouts: RolloutRepository,
    private readonly operations: OperationTracker,
    private readonly outbox: Outbox,
  ) {}

  /**
   * The rollout, locked by the caller, is in another state from now on. One that ends lets go of its bots and settles
   * its operation; so call this last in the transaction.
   */
  async enter(
    tx: Transaction,
    rollout: RolloutRow,
    to: { state: RolloutState; reason: string | null; by: string; event?: RolloutEvent },
    now: Date,
  ): Promise<void> {
    const ended = hasEnded(to.state);
    await this.rollouts.enter(tx, rollout.id, { ...to, ended }, now);
    await this.tell(tx, rollout.id, to.event ?? eventOf[to.state], to.by);
    if (!ended) return;
    const targets = await this.rollouts.targets(rollout.id, tx);
    await this.operations.settle(
      tx,
      rollout.operation,
      targets.map((target) => ({ bot: target.bot, ...outcomeOf(target) })),
    );
  }

  /** Tells of the rollout as the transaction has left it. */
  async tell(
    tx: Transaction,
    id: string,
    type: RolloutEvent,
    by: string,
    bots: readonly string[] = [],
  ): Promise<void> {
    const rollout = await this.rollouts.find(id, tx);
    if (rollout === null) throw new Error('A rollout that was just written is gone');
    const targets = await this.rollouts.targets(id, tx);
    const count = (state: RolloutTargetState): number => targets.filter((t) => t.state === state).length;
    const data: EventData<RolloutEvent> = {
      rollout: id,
      operation: rollout.operation,
      state: rollout.state,
      batch: rollout.batch,
      bots: bots.slice(0, bots_named_max),
      total: targets.length,
      healthy: count('healthy'),
      failed: count('failed'),
      skipped: count('skipped'),
      reverted: count('reverted'),
      reason: rollout.reason,
    };
    const traceparent = rollout.traceparent ?? undefined;
    await this.outbox.event(tx, { type, id, actor: by, data, traceparent });
  }
}

const eventOf: Record<RolloutState, RolloutEvent> = {
  running: 'tradefleet.rollout.resumed',
  paused: 'tradefleet.rollout.paused',
  reverting: 'tradefleet.rollout.reverting',
  succeeded: 'tradefleet.rollout.succeeded',
  reverted: 'tradefleet.rollout.reverted',
  aborted: 'tradefleet.rollout.aborted',
  failed: 'tradefleet.rollout.failed',
};

/** What the operation says of a bot once the rollout has ended. */
function outcomeOf({ state, reason }: TargetRow): { state: OperationState; reason: string | null } {
  switch (state) {
    case 'healthy':
      return { state: 'succeeded', reason: null };
    case 'failed':
      return { state: 'failed', reason };
    case 'reverted':
    case 'reverting':
      return { state: 'failed', reason: reason ?? 'It has its former definition again.' };
    case 'skipped':
      return { state: 'superseded', reason };
    case 'waiting':
      return { state: 'superseded', reason: 'The rollout ended before it was touched.' };
    case 'changing':
      return { state: 'superseded', reason: 'The rollout ended before it was healthy.' };
  }
}
