import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { hasEnded, ProblemError } from '#libs/contracts';
import { Outbox, type Transaction } from '#libs/persistence';
import { LOGGER, type Logger } from '#libs/telemetry';
import { partsOf, type BotDefinition } from '../bots/bot.definition.js';
import { BotRepository } from '../bots/bot.repository.js';
import type { BotEntity } from '../database/entities/index.js';
import { LeaderTransaction } from '../leadership/leader-transaction.repository.js';
import { LeadershipLost } from '../leadership/leadership.js';
import { OperationTracker } from '../operations/operation.tracker.js';
import type { Reconciler } from '../reconciliation/reconciler.js';
import { plus, useOf } from '../tenants/quota.rule.js';
import { QuotaRepository } from '../tenants/quota.repository.js';
import { changedBy } from './rollout.definition.js';
import { decide, type Decision, type RolloutNow, type TargetNow } from './rollout.machine.js';
import { RolloutRepository } from './rollout.repository.js';
import { toTarget, type RolloutRow, type TargetRow, type WatchedRow } from './rollout.rows.js';
import { RolloutTransitions } from './rollout.transitions.js';

/** Rollouts under way that one pass looks at; they are few. */
const rollouts_max = 100;
/** Longest a pass goes on with rollouts: stops come in the same passes, and have to reach their bots within a second. */
const advancing_ms_max = 200;
const before_all = '00000000-0000-0000-0000-000000000000';

/**
 * Carries out what `decide` says, each decision in one transaction of the leader: bots, targets, state, events and
 * operation together, or nothing of it. Remembers nothing, so another leader goes on where this one was.
 */
@Injectable()
export class RolloutReconciler implements Reconciler {
  readonly name = 'rollouts';
  /** Where the last pass came to, so that the next one begins behind it. Nothing decides by it. */
  private last = before_all;

  constructor(
    private readonly rollouts: RolloutRepository,
    private readonly transitions: RolloutTransitions,
    private readonly bots: BotRepository,
    private readonly quotas: QuotaRepository,
    private readonly operations: OperationTracker,
    private readonly transaction: LeaderTransaction,
    private readonly outbox: Outbox,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async reconcile(): Promise<boolean> {
    const until_ms = this.clock.monotonicMs() + advancing_ms_max;
    const active = await this.rollouts.active(this.last, rollouts_max);
    let more = active.length === rollouts_max;
    for (const rollout of active) {
      if (this.clock.monotonicMs() >= until_ms) return true;
      this.last = rollout.id;
      try {
        more = (await this.advance(rollout)) || more;
      } catch (error) {
        if (error instanceof LeadershipLost) throw error;
        // The rollouts behind it go on all the same.
        this.logger.error({ err: error, rollout: rollout.id }, 'rollout could not go on, trying again');
      }
    }
    return more;
  }

  /** Answers whether the rollout came into a state in which there is something to do at once. */
  private async advance(rollout: RolloutRow): Promise<boolean> {
    // Most looks find nothing to do, and need no lock for it.
    const look = this.decide(rollout, await this.rollouts.watched(rollout.id));
    if (look === null || isNothing(look)) return false;
    return await this.transaction.run(async (tx) => {
      const held = await this.rollouts.lock(tx, rollout.id);
      if (held === null) return false;
      const decision = this.decide(held, await this.rollouts.watched(held.id, tx));
      if (decision === null || isNothing(decision)) return false;
      await this.carryOut(tx, held, decision);
      return decision.next !== null && !hasEnded(decision.next.state);
    });
  }

  private decide(rollout: RolloutRow, rows: readonly WatchedRow[]): Decision | null {
    const { state, options, batch } = rollout;
    if (state !== 'running' && state !== 'paused' && state !== 'reverting') return null;
    const now: RolloutNow = { state, options, batch };
    const targets: TargetNow[] = rows.map(toTarget);
    return decide(now, targets, this.clock.wallMs());
  }

  private async carryOut(tx: Transaction, rollout: RolloutRow, decision: Decision): Promise<void> {
    const now = new Date(this.clock.wallMs());
    await this.rollouts.mark(tx, rollout.id, decision.marks, now);
    const targets = new Map((await this.rollouts.targets(rollout.id, tx)).map((t) => [t.bot, t]));
    // Bots are locked by name, as everywhere, whatever the order they were chosen in.
    const inOrder = (bots: readonly string[]): TargetRow[] =>
      [...bots].sort().flatMap((bot) => targets.get(bot) ?? []);
    const touched: string[] = [];
    if (decision.change !== null) {
      const { batch, bots } = decision.change;
      touched.push(...(await this.change(tx, rollout, { batch, targets: inOrder(bots) }, now)));
    }
    for (const target of inOrder(decision.revert))
      if (await this.revert(tx, rollout, target, now)) touched.push(target.bot);
    if (decision.next !== null)
      await this.transitions.enter(tx, rollout, { ...decision.next, by: rollout.changed_by }, now);
    await this.operations.botsChanged(tx, touched);
  }

  private async change(
    tx: Transaction,
    rollout: RolloutRow,
    { batch, targets }: { batch: number; targets: readonly TargetRow[] },
    now: Date,
  ): Promise<string[]> {
    await this.rollouts.batchBegun(tx, rollout.id, batch, now);
    const changed: string[] = [];
    for (const target of targets) {
      const name = target.bot;
      const allowance = await this.quotas.hold(tx, { bot: name });
      const bot = await this.bots.findForUpdate(tx, name);
      // The next pass finds it so.
      if (!isStill(bot, target.bot_created_at, target.generation)) continue;
      const definition = changedBy(rollout.change, partsOf(bot));
      const refused = quotaRefusal(allowance, bot, definition);
      if (refused !== null) {
        const mark = { bot: name, state: 'skipped' as const, reason: refused, healthy: null };
        await this.rollouts.mark(tx, rollout.id, [mark], now);
        continue;
      }
      const generation = await this.write(tx, rollout, bot, definition);
      await this.rollouts.changed(tx, rollout.id, { bot: name, batch, generation }, now);
      changed.push(name);
    }
    if (changed.length > 0)
      await this.transitions.tell(
        tx,
        rollout.id,
        'tradefleet.rollout.batch-started',
        rollout.changed_by,
        changed,
      );
    return changed;
  }

  /** False when somebody else has changed the bot in this moment: the next pass finds it so. */
  private async revert(tx: Transaction, rollout: RolloutRow, target: TargetRow, now: Date): Promise<boolean> {
    const name = target.bot;
    const bot = await this.bots.findForUpdate(tx, name);
    if (target.changed_generation === null) return false;
    if (!isStill(bot, target.bot_created_at, target.changed_generation)) return false;
    const before = await this.rollouts.before(tx, rollout.id, name);
    const generation = await this.write(tx, rollout, bot, before, ' goes back');
    await this.rollouts.reverted(tx, rollout.id, { bot: name, generation }, now);
    return true;
  }

  /** The same change that `bots.update` makes, in the name of who asked for the rollout. */
  private async write(
    tx: Transaction,
    rollout: RolloutRow,
    bot: BotEntity,
    definition: BotDefinition,
    how = '',
  ): Promise<number> {
    const { name, tenant, account, desired } = bot;
    const by = rollout.changed_by;
    const generation = await this.bots.change(tx, name, { ...definition, desired, by });
    await this.outbox.event(tx, {
      type: 'tradefleet.bot.updated',
      id: name,
      actor: by,
      traceparent: rollout.traceparent ?? undefined,
      data: {
        tenant,
        bot: name,
        account,
        generation,
        operation: rollout.operation,
        reason: `rollout ${rollout.id}${how}`,
      },
    });
    return generation;
  }
}

const isNothing = ({ marks, change, revert, next }: Decision): boolean =>
  marks.length === 0 && change === null && revert.length === 0 && next === null;

/** Compare and set: the bot, locked, is the one of this life and generation. */
const isStill = (bot: BotEntity | null, createdAt: Date, generation: number): bot is BotEntity =>
  bot !== null &&
  bot.createdAt.getTime() === createdAt.getTime() &&
  bot.generation === generation &&
  bot.desired !== 'deleted';

/** Why the tenant's quotas do not allow what the bot would use more, or null. */
function quotaRefusal(
  allowance: Awaited<ReturnType<QuotaRepository['hold']>>,
  bot: BotEntity,
  definition: BotDefinition,
): string | null {
  if (bot.desired !== 'running') return null;
  try {
    allowance?.require(plus(useOf(definition.resources), useOf(bot.resources), -1));
    return null;
  } catch (error) {
    if (error instanceof ProblemError && error.code === 'quota_exceeded') return error.detail;
    throw error;
  }
}
