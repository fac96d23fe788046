import type { ApiParsed, ApiResponse, Bot, DesiredState } from '#libs/contracts';
import { Inject, Injectable } from '@nestjs/common';
import type { BotEntity } from '../database/entities/index.js';
import { refusal } from '../errors.js';
import { ObservationStore } from '../heartbeats/observation.store.js';
import { OperationTracker } from '../operations/operation.tracker.js';
import type { Asker } from '../requests/asker.js';
import { sameJson } from '../requests/canonical-json.js';
import type { Change } from '../requests/change.js';
import { ChangesService } from '../requests/changes.service.js';
import { pageOf } from '../requests/page.js';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import { QuotaRepository } from '../tenants/quota.repository.js';
import { plus, useOf } from '../tenants/quota.rule.js';
import { definitionOf, merge, partsOf } from './bot.definition.js';
import { BotRepository } from './bot.repository.js';
import { reason_length_max, toBot } from './bot.row.js';

type Accepted = ApiResponse<'bots.create'>;
type BotVerb = 'create' | 'update' | 'start' | 'stop' | 'delete';
interface BotRef {
  readonly name: string;
  readonly tenant: string;
  readonly account: string;
}

const eventOf = {
  create: 'tradefleet.bot.created',
  update: 'tradefleet.bot.updated',
  start: 'tradefleet.bot.start-requested',
  stop: 'tradefleet.bot.stop-requested',
  delete: 'tradefleet.bot.delete-requested',
} as const;

/** What bots should be. That they become so is the reconciler's work; an operation tells when they are. */
@Injectable()
export class BotsService {
  constructor(
    private readonly changes: ChangesService,
    private readonly bots: BotRepository,
    private readonly quotas: QuotaRepository,
    private readonly operations: OperationTracker,
    private readonly observations: ObservationStore,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
  ) {}

  async create(request: ApiParsed<'bots.create'>, asker: Asker): Promise<Accepted> {
    const { name, account: accountName, desired } = request;
    return await this.changes.carryOut('bots.create', request, asker, async (change) => {
      // Before the account, in the order of locks.
      const allowance =
        desired === 'running' ? await this.quotas.hold(change.tx, { account: accountName }) : null;
      const account = await this.bots.holdAccount(change.tx, accountName);
      if (account === null) throw refusal.accountNotFound(accountName);
      const bot = { ...definitionOf(request), name, tenant: account.tenant, account: accountName, desired };
      if (!(await this.bots.insert(change.tx, { ...bot, by: change.actor }))) {
        throw await this.taken(change, name, accountName);
      }
      // After the insertion: a name that is taken is the more useful answer.
      if (desired === 'running' && account.lockReason !== null)
        throw refusal.accountLocked(accountName, account.lockReason);
      allowance?.require(useOf(bot.resources));
      return await this.accept(change, 'create', bot, { generation: 1, desired });
    });
  }

  /** The reason of one that waits for room says how many do before it; that changes too often to be stored. */
  async get({ name }: ApiParsed<'bots.get'>): Promise<Bot> {
    const bot = await this.read(name);
    if (bot.status.phase !== 'queued') return bot;
    const place = await this.bots.placeInQueue(name, this.settings.queueAgeingMs);
    if (place === null) return bot;
    const inQueue = ` (${place.before} of ${place.waiting} go before it)`;
    const reason = (bot.status.reason ?? '').slice(0, reason_length_max - inQueue.length) + inQueue;
    return { ...bot, status: { ...bot.status, reason } };
  }

  async list({ tenant, host, limit, after }: ApiParsed<'bots.list'>): Promise<ApiResponse<'bots.list'>> {
    const found = await this.bots.page({ tenant, host, after, rows_max: limit + 1 });
    const bots = found.map((row) => toBot(row, (id) => this.observations.get(id)));
    const { rows, next } = pageOf(bots, limit, (bot) => bot.name);
    return { bots: rows, next };
  }

  /** An update that changes nothing is accepted and changes nothing: no generation, no restart, no event. */
  async update(request: ApiParsed<'bots.update'>, asker: Asker): Promise<Accepted> {
    return await this.changes.carryOut('bots.update', request, asker, async (change) => {
      const allowance =
        request.resources === undefined ? null : await this.quotas.hold(change.tx, { bot: request.name });
      const bot = await this.hold(change, request);
      const definition = merge(bot, request);
      if (bot.desired === 'running')
        allowance?.require(plus(useOf(definition.resources), useOf(bot.resources), -1));
      if (sameJson(definition, partsOf(bot)))
        return await this.accept(change, 'update', bot, bot, { silent: true });
      const generation = await this.bots.change(change.tx, bot.name, {
        ...definition,
        desired: bot.desired,
        by: change.actor,
      });
      return await this.accept(change, 'update', bot, { generation, desired: bot.desired });
    });
  }

  /** Runs it; one that should run already is tried again at once when it waits after a failure. */
  async start(request: ApiParsed<'bots.start'>, asker: Asker): Promise<Accepted> {
    return await this.changes.carryOut('bots.start', request, asker, async (change) => {
      // The tenant and the account are held before the bot, in the order of locks.
      const allowance = await this.quotas.hold(change.tx, { bot: request.name });
      const known = await this.bots.find(request.name, change.tx);
      const account = known === null ? null : await this.bots.holdAccount(change.tx, known.account);
      const bot = await this.hold(change, request);
      if (account !== null && account.lockReason !== null)
        throw refusal.accountLocked(bot.account, account.lockReason);
      if (bot.desired !== 'running') allowance?.require(useOf(bot.resources));
      return await this.bringTo(change, 'start', bot, 'running', request.reason);
    });
  }

  async stop(request: ApiParsed<'bots.stop'>, asker: Asker): Promise<Accepted> {
    return await this.changes.carryOut('bots.stop', request, asker, async (change) => {
      const bot = await this.hold(change, request);
      return await this.bringTo(change, 'stop', bot, 'stopped', request.reason);
    });
  }

  /** The row stays, desired `deleted`, until nothing of the bot lives; then the reconciler removes it. */
  async delete(request: ApiParsed<'bots.delete'>, asker: Asker): Promise<Accepted> {
    return await this.changes.carryOut('bots.delete', request, asker, async (change) => {
      const bot = await this.hold(change, request, { evenDeleted: true });
      return await this.bringTo(change, 'delete', bot, 'deleted', request.reason);
    });
  }

  /** To the state it has already no generation leads: a running bot is not replaced by asking for it again. */
  private async bringTo(
    change: Change,
    verb: 'start' | 'stop' | 'delete',
    bot: BotEntity,
    desired: DesiredState,
    reason: string | undefined,
  ): Promise<Accepted> {
    let { generation } = bot;
    if (bot.desired !== desired) {
      generation = await this.bots.change(change.tx, bot.name, {
        ...partsOf(bot),
        desired,
        by: change.actor,
      });
    } else if (desired === 'running') {
      await this.bots.tryAgain(change.tx, bot.name);
    }
    return await this.accept(change, verb, bot, { generation, desired }, { reason });
  }

  /** The operation, the event that names it, and the answer. */
  private async accept(
    change: Change,
    verb: BotVerb,
    { name, tenant, account }: BotRef,
    { generation, desired }: { generation: number; desired: DesiredState },
    { reason, silent = false }: { reason?: string | undefined; silent?: boolean } = {},
  ): Promise<Accepted> {
    const operation = await this.operations.begin(change.tx, change.asker, `bots.${verb}`, [
      { bot: name, generation, goal: desired },
    ]);
    if (!silent) {
      const data = { tenant, bot: name, account, generation, operation, reason: reason ?? null };
      await change.event(eventOf[verb], name, data);
    }
    return { operation, bot: await this.read(name, change) };
  }

  private async hold(
    change: Change,
    { name, expectedGeneration }: { name: string; expectedGeneration?: number | undefined },
    { evenDeleted = false } = {},
  ): Promise<BotEntity> {
    const bot = await this.bots.findForUpdate(change.tx, name);
    if (bot === null) throw refusal.botNotFound(name);
    if (expectedGeneration !== undefined && expectedGeneration !== bot.generation) {
      throw refusal.staleGeneration('bot', name, expectedGeneration, bot.generation);
    }
    if (bot.desired === 'deleted' && !evenDeleted) throw refusal.botBeingDeleted(name);
    return bot;
  }

  private async read(name: string, change?: Change): Promise<Bot> {
    const row = await this.bots.find(name, change?.tx);
    if (row === null) throw refusal.botNotFound(name);
    return toBot(row, (id) => this.observations.get(id));
  }

  private async taken(change: Change, name: string, account: string): Promise<Error> {
    const namesake = await this.bots.findForUpdate(change.tx, name);
    if (namesake === null) {
      return refusal.accountInUse(account, (await this.bots.ofAccount(change.tx, account))?.name);
    }
    return namesake.desired === 'deleted' ? refusal.botExistsUntilDeleted(name) : refusal.botExists(name);
  }
}
