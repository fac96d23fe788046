import { randomUUID } from 'node:crypto';
import type { GatewayClient } from '#libs/client';
import type { Clock } from '#libs/clock';
import { ProblemError } from '#libs/contracts';
import { policies, resources, restless } from '../parts/chaos.manifest.js';
import type { LoadName, PlannedLoad } from '../planner/fault.planner.js';

export interface LoadCounts {
  asked: number;
  refused: number;
}

const undo_ms_max = 90_000;
const pause_ms = 250;
const reason = 'chaos';

/**
 * What people do with a fleet while it is being hit: bots are stopped and started, locked and unlocked, changed, made,
 * and hosts drained. What is asked for while things are broken may be refused; what takes it back must be accepted once
 * they are mended, so that every round ends with all bots wanted.
 */
export class ClientLoad {
  readonly counts: LoadCounts = { asked: 0, refused: 0 };
  private readonly undo: (() => Promise<void>)[] = [];
  private changes = 0;
  private extra = false;

  constructor(
    private readonly gateway: GatewayClient,
    private readonly bots: readonly string[],
    private readonly hosts: readonly string[],
    /** Name of the bot that comes and goes, and of its account. */
    private readonly extraBot: string,
    private readonly broker: string,
    private readonly clock: Clock,
  ) {}

  /** All bots that are made here, whether they are there or not. */
  get accounts(): string[] {
    return [...this.bots, this.extraBot];
  }

  async perform(load: PlannedLoad): Promise<void> {
    const bot = this.bots[load.bot] ?? '';
    const host = this.hosts[load.host] ?? '';
    this.counts.asked += 1;
    try {
      await this.request(load.name, bot, host);
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      this.counts.refused += 1;
    }
  }

  /** What has to be taken back is noted before it is asked for: a request without an answer may have been accepted. */
  private async request(name: LoadName, bot: string, host: string): Promise<void> {
    const { gateway } = this;
    const more = { reason, idempotencyKey: randomUUID() };
    const back = { reason, idempotencyKey: randomUUID() };
    switch (name) {
      case 'stop':
        this.takeBack(
          `start of ${bot}`,
          async () => await gateway.call('bots.start', { name: bot, ...back }),
        );
        await gateway.call('bots.stop', { name: bot, ...more });
        return;
      case 'lock':
        this.takeBack(
          `unlock of ${bot}`,
          async () => await gateway.call('accounts.unlock', { name: bot, ...back }),
          'account_not_locked',
        );
        await gateway.call('accounts.lock', { name: bot, ...more });
        return;
      case 'drain':
        this.takeBack(
          `ready of ${host}`,
          async () => await gateway.call('hosts.ready', { name: host, idempotencyKey: back.idempotencyKey }),
          'invalid_transition',
        );
        await gateway.call('hosts.drain', { name: host, ...more });
        return;
      case 'update': {
        const parameters = { ...restless(this.broker), paperSeed: (this.changes += 1) };
        await gateway.call('bots.update', { name: bot, parameters, idempotencyKey: more.idempotencyKey });
        return;
      }
      case 'create':
        await this.toggleExtra();
    }
  }

  /** Takes back what has to be, with tries until it is accepted. Throws when that takes too long. */
  async settle(): Promise<void> {
    for (const work of this.undo.splice(0)) await work();
  }

  private takeBack(what: string, call: () => Promise<unknown>, nothingToDo?: string): void {
    this.undo.push(async () => await this.again(what, call, nothingToDo));
  }

  private async toggleExtra(): Promise<void> {
    const name = this.extraBot;
    const idempotencyKey = randomUUID();
    if (this.extra) {
      await this.gateway.call('bots.delete', { name, reason, idempotencyKey });
      this.extra = false;
      return;
    }
    try {
      await this.gateway.call('accounts.create', { name, tenant: 'chaos', server: 'Paper-Demo', login: 999 });
    } catch (error) {
      if (!isProblem(error, 'account_exists')) throw error;
    }
    const bot = { name, account: name, runtime: 'paper', resources, policies, idempotencyKey } as const;
    await this.gateway.call('bots.create', { ...bot, parameters: restless(this.broker) });
    this.extra = true;
  }

  /** The same request until it is accepted, or has nothing to do: it is one request, however often it arrives. */
  private async again(what: string, call: () => Promise<unknown>, nothingToDo?: string): Promise<void> {
    const give_up_ms = this.clock.monotonicMs() + undo_ms_max;
    for (;;) {
      try {
        await call();
        return;
      } catch (error) {
        if (isProblem(error, nothingToDo)) return;
        const isLater = error instanceof ProblemError && error.code !== 'invalid_request';
        if (!isLater || this.clock.monotonicMs() > give_up_ms)
          throw new Error(`${what} is not accepted`, { cause: error });
      }
      await this.clock.sleep(pause_ms);
    }
  }
}

const isProblem = (error: unknown, code: string | undefined): boolean =>
  error instanceof ProblemError && error.code === code;
