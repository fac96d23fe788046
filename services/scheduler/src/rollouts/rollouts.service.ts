import {
  newId,
  Parameters,
  rollout_bots_max,
  type ApiParsed,
  type ApiResponse,
  type Rollout,
  type RolloutPlan,
  type RolloutPlanned,
  type RolloutPlannedBot,
  type RolloutState,
} from '#libs/contracts';
import { CLOCK, type Clock } from '#libs/clock';
import { TransactionRunner, type Transaction } from '#libs/persistence';
import { Inject, Injectable } from '@nestjs/common';
import { partsOf, type BotDefinition } from '../bots/bot.definition.js';
import { refusal } from '../errors.js';
import { changed } from '../fleet/fleet.diff.js';
import { OperationTracker } from '../operations/operation.tracker.js';
import type { Asker } from '../requests/asker.js';
import { ChangesService } from '../requests/changes.service.js';
import { pageOf } from '../requests/page.js';
import { changedBy, refOf, rolloutVersion } from './rollout.definition.js';
import { RolloutRepository } from './rollout.repository.js';
import { toRollout, toSummary, type ChosenBot, type RolloutRow } from './rollout.rows.js';
import { RolloutTransitions } from './rollout.transitions.js';

/** Largest plan as JSON; it has to fit one message. */
const plan_bytes_max = 768 * 1024;

interface Worked {
  readonly chosen: readonly ChosenBot[];
  /** Those that change, in the order in which they will. */
  readonly changing: readonly (ChosenBot & { readonly to: BotDefinition })[];
  readonly version: string;
  readonly offered: RolloutPlanned['offered'];
}

/** Rollouts as people ask for them. Bots are changed by the reconciler. */
@Injectable()
export class RolloutsService {
  constructor(
    private readonly changes: ChangesService,
    private readonly transactions: TransactionRunner,
    private readonly rollouts: RolloutRepository,
    private readonly transitions: RolloutTransitions,
    private readonly operations: OperationTracker,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async plan(request: ApiParsed<'rollouts.plan'>): Promise<RolloutPlanned> {
    const { chosen, changing, version, offered } = await this.transactions.run(
      async (tx) => await this.work(tx, request, { hold: false }),
      'REPEATABLE READ',
    );
    const bots = changing.map((bot, at) => plannedBot(bot, batchOf(at, request.options)));
    const planned = { version, bots, unchanged: chosen.length - changing.length, offered };
    if (Buffer.byteLength(JSON.stringify(planned)) > plan_bytes_max)
      throw refusal.rolloutTooLarge(rollout_bots_max);
    return planned;
  }

  /** Works the plan out again, under locks, and starts it if its version is the one that was looked at. */
  async create(request: ApiParsed<'rollouts.create'>, asker: Asker): Promise<Rollout> {
    return await this.changes.carryOut('rollouts.create', request, asker, async ({ tx, actor }) => {
      const { selector, change, options, version } = request;
      const worked = await this.work(tx, { selector, change, options }, { hold: true });
      if (worked.version !== version) throw refusal.staleRolloutPlan();
      if (worked.changing.length === 0) throw refusal.rolloutEmpty(worked.chosen.length);
      requireFree(worked.changing);
      const missing = worked.offered.filter(({ hosts }) => hosts === 0);
      if (missing.length > 0) throw refusal.versionNotOffered(missing.map(({ runtime }) => runtime));

      const [id, now] = [newId(), this.now()];
      const operation = await this.operations.begin(
        tx,
        asker,
        'rollouts.create',
        worked.changing.map((bot) => ({ bot: bot.name, generation: bot.generation, goal: 'rolled-out' })),
      );
      const { traceparent } = asker;
      const bots = worked.changing;
      await this.rollouts.insert(tx, { id, operation, change, options, by: actor, traceparent, bots }, now);
      await this.transitions.tell(tx, id, 'tradefleet.rollout.created', actor);
      return await this.read(id, tx);
    });
  }

  async get({ id }: ApiParsed<'rollouts.get'>): Promise<Rollout> {
    return await this.read(id);
  }

  async list({ state, limit, after }: ApiParsed<'rollouts.list'>): Promise<ApiResponse<'rollouts.list'>> {
    const found = await this.rollouts.page({
      state: state ?? null,
      after: after ?? null,
      rows_max: limit + 1,
    });
    const summaries = found.map(({ counts, ...row }) => toSummary(row, counts));
    const { rows, next } = pageOf(summaries, limit, (rollout) => rollout.id);
    return { rollouts: rows, next };
  }

  /** No more bots are changed; those in flight are still watched. */
  async pause(request: ApiParsed<'rollouts.pause'>, asker: Asker): Promise<Rollout> {
    return await this.changes.carryOut('rollouts.pause', request, asker, async ({ tx, actor }) => {
      const rollout = await this.hold(tx, request.id, ['running'], 'paused');
      await this.enter(tx, rollout, 'paused', request.reason, actor);
      return await this.read(request.id, tx);
    });
  }

  /** The time of bots in flight begins anew. */
  async resume(request: ApiParsed<'rollouts.resume'>, asker: Asker): Promise<Rollout> {
    return await this.changes.carryOut('rollouts.resume', request, asker, async ({ tx, actor }) => {
      const rollout = await this.hold(tx, request.id, ['paused'], 'resumed');
      await this.rollouts.resumed(tx, request.id, this.now());
      await this.enter(tx, rollout, 'running', undefined, actor);
      return await this.read(request.id, tx);
    });
  }

  async abort(request: ApiParsed<'rollouts.abort'>, asker: Asker): Promise<Rollout> {
    return await this.changes.carryOut('rollouts.abort', request, asker, async ({ tx, actor }) => {
      const from: RolloutState[] = request.revert
        ? ['running', 'paused']
        : ['running', 'paused', 'reverting'];
      const rollout = await this.hold(tx, request.id, from, request.revert ? 'reverted' : 'aborted');
      const reason = request.reason ?? (request.revert ? 'A person asked for the way back.' : undefined);
      await this.enter(tx, rollout, request.revert ? 'reverting' : 'aborted', reason, actor);
      return await this.read(request.id, tx);
    });
  }

  private async work(tx: Transaction, plan: RolloutPlan, { hold }: { hold: boolean }): Promise<Worked> {
    const { selector, change } = plan;
    if (selector.bots !== undefined) {
      const unknown = await this.rollouts.unknown(tx, selector.bots);
      if (unknown.length > 0) throw refusal.rolloutBotsUnknown(unknown);
    }
    const chosen = await this.rollouts.choose(tx, selector, { hold, rows_max: rollout_bots_max + 1 });
    if (chosen.length > rollout_bots_max) throw refusal.rolloutTooLarge(rollout_bots_max);
    const changing = chosen
      .map((bot) => ({ ...bot, to: changedBy(change, partsOf(bot)) }))
      .filter((bot) => fieldsOf(bot).length > 0)
      // Those that run go first: a canary that fails should say something of the change.
      .sort((a, b) => Number(b.runs) - Number(a.runs) || (a.name < b.name ? -1 : 1));
    for (const bot of changing) requireFitting(bot.name, bot.to);
    const wanted = new Set(changing.filter((bot) => bot.desired === 'running').map((bot) => refOf(bot.to)));
    const offered = await this.rollouts.offering(tx, [...wanted]);
    return { chosen, changing, version: rolloutVersion(plan, chosen), offered };
  }

  private async hold(
    tx: Transaction,
    id: string,
    from: readonly RolloutState[],
    verb: string,
  ): Promise<RolloutRow> {
    const rollout = await this.rollouts.lock(tx, id);
    if (rollout === null) throw refusal.rolloutNotFound(id);
    if (!from.includes(rollout.state)) throw refusal.rolloutState(id, rollout.state, verb);
    return rollout;
  }

  private async enter(
    tx: Transaction,
    rollout: RolloutRow,
    state: RolloutState,
    reason: string | undefined,
    by: string,
  ): Promise<void> {
    await this.transitions.enter(tx, rollout, { state, reason: reason ?? null, by }, this.now());
  }

  private async read(id: string, tx?: Transaction): Promise<Rollout> {
    const row = await this.rollouts.find(id, tx);
    if (row === null) throw refusal.rolloutNotFound(id);
    return toRollout(row, await this.rollouts.targets(id, tx));
  }

  private now(): Date {
    return new Date(this.clock.wallMs());
  }
}

const fieldsOf = (bot: ChosenBot & { readonly to: BotDefinition }): RolloutPlannedBot['fields'] =>
  changed(partsOf(bot.to), partsOf(bot));

const plannedBot = (bot: ChosenBot & { readonly to: BotDefinition }, batch: number): RolloutPlannedBot => ({
  bot: bot.name,
  tenant: bot.tenant,
  runtime: refOf(bot),
  generation: bot.generation,
  desired: bot.desired,
  batch,
  fields: fieldsOf(bot),
  restarts: bot.desired === 'running' && !bot.locked,
  conflict: bot.conflict,
});

/** The batch of the bot at this place in the order. */
const batchOf = (at: number, { canary, batchSize }: RolloutPlan['options']): number =>
  at < canary ? 0 : 1 + Math.floor((at - canary) / batchSize);

function requireFree(bots: readonly ChosenBot[]): void {
  const [first] = bots.filter((bot) => bot.conflict !== null);
  if (first?.conflict == null) return;
  const { conflict } = first;
  throw refusal.rolloutConflict(
    bots.filter((bot) => bot.conflict === conflict).map((bot) => bot.name),
    conflict,
  );
}

/** Single parameters that fit may be too many together. */
function requireFitting(bot: string, { parameters }: BotDefinition): void {
  const parsed = Parameters.safeParse(parameters);
  const [issue] = parsed.error?.issues ?? [];
  if (issue !== undefined)
    throw refusal.invalid([{ path: 'change.parameters', message: `on ${bot}: ${issue.message}` }]);
}
