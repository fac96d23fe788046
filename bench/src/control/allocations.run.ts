import { type EventTypeName, newId, type Operation, ProblemError, streams, subjects } from '#libs/contracts';
import type { Messaging } from '#libs/messaging';
import { type Distribution, distributionOf, perSecond } from './statistics.js';

export interface RunOptions {
  readonly bots: number;
  readonly by: 'fleet.apply' | 'bots.create';
  /** Longest time until all run. */
  readonly seconds: number;
  readonly progress: (what: string) => void;
}

export interface RunResult {
  readonly bots: number;
  /** From the first request until every operation has succeeded: each bot is known to run in the database. */
  readonly elapsed_ms: number;
  readonly allocations_per_s: number;
  /** From the first request until the last one was answered. */
  readonly accepting_ms: number;
  /** From the answer that accepted the bot until its host's event `running` was published. */
  readonly acceptedToRunning: Distribution | null;
  /** Durable messages on the stream of events for one allocation. */
  readonly eventsPerAllocation: number;
}

/** What fits into one message of a client, with room to spare. */
const bots_per_manifest = 500;
const requests_under_way_max = 64;
const wait_ms_max = 10_000;
const look_ms = 200;
const runningEvent: EventTypeName = 'tradefleet.allocation.running';

/** Brings up bots and takes them away again, and measures the first. */
export class AllocationsRun {
  private readonly tenant: string;
  private readonly names: readonly string[];
  /** When each bot was accepted, and seen running. On `performance.now`. */
  private readonly accepted = new Map<string, number>();
  private readonly running = new Map<string, number>();

  constructor(
    private readonly messaging: Messaging,
    prefix: string,
    private readonly options: RunOptions,
  ) {
    this.tenant = prefix;
    this.names = Array.from(
      { length: options.bots },
      (_, n) => `${prefix}-${String(n + 1).padStart(5, '0')}`,
    );
  }

  async measure(): Promise<RunResult> {
    await this.makeAccounts();
    const stop = await this.messaging.tail(subjects.eventsOf('allocation'), ({ bytes, headers }) => {
      if (headers['ce-type'] === runningEvent) this.seen(bytes);
    });
    try {
      const events_before = await this.eventCount();
      const begin_ms = performance.now();
      const operations = await this.ask();
      const accepting_ms = performance.now() - begin_ms;
      const showing = setInterval(() => this.show(), 1000);
      try {
        await this.untilSucceeded(operations, begin_ms);
      } finally {
        clearInterval(showing);
      }
      const elapsed_ms = performance.now() - begin_ms;
      const { bots } = this.options;
      return {
        ...{ bots, elapsed_ms, accepting_ms, allocations_per_s: perSecond(bots, elapsed_ms) },
        acceptedToRunning: await this.latencies(),
        eventsPerAllocation: ((await this.eventCount()) - events_before) / bots,
      };
    } finally {
      await stop();
    }
  }

  /** Stops and deletes the bots again. */
  async remove(): Promise<void> {
    const operation = await this.apply({ tenants: [{ name: this.tenant }], prune: true });
    await this.untilSucceeded([operation], performance.now());
  }

  private async makeAccounts(): Promise<void> {
    const base = Number.parseInt(newId().slice(0, 8), 16);
    for (let first = 0; first < this.names.length; first += bots_per_manifest) {
      const accounts = this.names.slice(first, first + bots_per_manifest).map((name, n) => ({
        ...{ name, server: `Paper-${this.tenant}`, login: base + first + n + 1 },
      }));
      await this.apply({ tenants: [{ name: this.tenant, accounts }] });
    }
  }

  private async ask(): Promise<string[]> {
    return this.options.by === 'fleet.apply' ? await this.applyAll() : await this.createAll();
  }

  private async applyAll(): Promise<string[]> {
    const operations: string[] = [];
    for (let first = 0; first < this.names.length; first += bots_per_manifest) {
      const names = this.names.slice(first, first + bots_per_manifest);
      const bots = names.map((name) => ({ name, account: name, runtime: 'paper' as const }));
      operations.push(await this.apply({ tenants: [{ name: this.tenant, bots }] }));
      this.markAccepted(names);
    }
    return operations;
  }

  private async createAll(): Promise<string[]> {
    const operations: string[] = [];
    const left = [...this.names].reverse();
    const lane = async (): Promise<void> => {
      for (let name = left.pop(); name !== undefined; name = left.pop()) {
        const created = await this.messaging.call('bots.create', { name, account: name, runtime: 'paper' });
        this.markAccepted([name]);
        operations.push(created.operation);
      }
    };
    await Promise.all(Array.from({ length: requests_under_way_max }, lane));
    return operations;
  }

  private async apply(part: Pick<Parameters<typeof manifestOf>[0], 'tenants' | 'prune'>): Promise<string> {
    const manifest = manifestOf(part);
    const { version } = await this.messaging.call('fleet.plan', { manifest }, { timeoutMs: 30_000 });
    const applied = await this.messaging.call(
      'fleet.apply',
      { manifest, version, idempotencyKey: newId() },
      { timeoutMs: 30_000 },
    );
    return applied.operation;
  }

  private markAccepted(names: readonly string[]): void {
    const now_ms = performance.now();
    for (const name of names) this.accepted.set(name, now_ms);
  }

  private seen(bytes: Uint8Array): void {
    const data = JSON.parse(Buffer.from(bytes).toString('utf8')) as { bot: string; tenant: string };
    if (data.tenant === this.tenant && !this.running.has(data.bot))
      this.running.set(data.bot, performance.now());
  }

  private async untilSucceeded(operations: readonly string[], begin_ms: number): Promise<void> {
    const deadline_ms = begin_ms + this.options.seconds * 1000;
    for (const id of operations) {
      let operation: Operation | null = null;
      while (operation?.state !== 'succeeded') {
        if (performance.now() > deadline_ms)
          throw new Error(`Not all bots ran after ${this.options.seconds} s: ${progressOf(operation)}`);
        const timeoutMs = Math.max(1, Math.min(wait_ms_max, deadline_ms - performance.now()));
        operation = await this.wait(id, Math.floor(timeoutMs));
        if (operation !== null && !['running', 'succeeded'].includes(operation.state))
          throw new Error(`Operation ${id} ${operation.state}: ${progressOf(operation)}`);
      }
    }
  }

  /** Null when the scheduler was too busy to answer; that is part of what is measured. */
  private async wait(id: string, timeoutMs: number): Promise<Operation | null> {
    try {
      return await this.messaging.call('operations.wait', { id, timeoutMs }, { timeoutMs: timeoutMs + 5000 });
    } catch (error) {
      if (error instanceof ProblemError && error.retry) return null;
      throw error;
    }
  }

  /** Events may be on their way to us still when the scheduler knows already. */
  private async latencies(): Promise<Distribution | null> {
    const deadline_ms = performance.now() + wait_ms_max;
    while (this.running.size < this.names.length && performance.now() < deadline_ms)
      await this.messaging.clock.sleep(look_ms);
    const missing = this.names.length - this.running.size;
    if (missing > 0) throw new Error(`${missing} bots run, but no event has told so.`);
    return distributionOf(
      [...this.running].map(([name, at_ms]) => at_ms - (this.accepted.get(name) ?? at_ms)),
    );
  }

  private async eventCount(): Promise<number> {
    const manager = await this.messaging.manager();
    return (await manager.streams.info(streams.events.name)).state.last_seq;
  }

  private show(): void {
    this.options.progress(`${this.running.size} of ${this.names.length} run`);
  }
}

const manifestOf = (part: {
  readonly prune?: boolean;
  readonly tenants: readonly {
    readonly name: string;
    readonly accounts?: { name: string; server: string; login: number }[];
    readonly bots?: { name: string; account: string; runtime: 'paper' }[];
  }[];
}) => ({ apiVersion: 'tradefleet/v1' as const, ...part, tenants: [...part.tenants] });

const progressOf = (operation: Operation | null): string => {
  if (operation === null) return 'the scheduler did not answer.';
  const { done, failed, total } = operation.progress;
  const reason = operation.targets.find((target) => target.reason !== null)?.reason ?? 'no reason given';
  return `${done} of ${total} done, ${failed} failed; ${reason}.`;
};
