import type { Move } from '#libs/contracts';
import type { Messaging } from '#libs/messaging';
import { waitFor } from '#libs/testing';

export interface DrainRunOptions {
  readonly bots: number;
  readonly parallel: number;
  readonly cpuMillis: number;
}

export interface DrainResult {
  readonly prepare: boolean;
  /** From the request until the host was empty and every bot ran again. */
  readonly elapsed_ms: number;
  /** Of each bot: from the end of the old allocation until the new one ran, by the scheduler's clock. */
  readonly gaps_ms: readonly number[];
  /** Moves whose target said in time that it was ready. */
  readonly prepared: number;
}

const wait_ms_max = 300_000;
const wait_ms = 10_000;
/** Bots stay a little before they are moved again, as they would. */
const rest_ms = 2000;

/** Bots that all live on one host, and are moved on to the next one. All other hosts take nothing meanwhile. */
export class DrainRun {
  private at = 0;

  constructor(
    private readonly messaging: Messaging,
    private readonly hosts: readonly string[],
    private readonly options: DrainRunOptions,
  ) {}

  get current(): string {
    return this.hosts[this.at % this.hosts.length] ?? '';
  }

  /** Brings all bots up on the first host. */
  async fill(): Promise<void> {
    for (const host of this.hosts.slice(1))
      await this.messaging.call('hosts.drain', { name: host, reason: 'not yet' });
    const names = Array.from(
      { length: this.options.bots },
      (_, n) => `bench-${String(n + 1).padStart(3, '0')}`,
    );
    const resources = { cpuMillis: this.options.cpuMillis };
    const manifest = {
      apiVersion: 'tradefleet/v1' as const,
      tenants: [
        {
          name: 'bench',
          accounts: names.map((name, n) => ({ name, server: 'Paper-Demo', login: 7_000_001 + n })),
          bots: names.map((name) => ({ name, account: name, runtime: 'paper' as const, resources })),
        },
      ],
    };
    const { version } = await this.messaging.call('fleet.plan', { manifest });
    const { operation } = await this.messaging.call('fleet.apply', { manifest, version });
    await this.untilEnded(operation);
  }

  /** Drains the host on which the bots are, with the next one ready. */
  async drain(prepare: boolean): Promise<DrainResult> {
    const from = this.current;
    this.at += 1;
    await this.messaging.clock.sleep(rest_ms);
    await this.messaging.call('hosts.ready', { name: this.current });
    const begin_ms = performance.now();
    const { drain } = await this.messaging.call('hosts.drain', {
      ...{ name: from, reason: 'bench', prepare, parallel: this.options.parallel },
    });
    const begun = drain?.at ?? '';
    const moves = await waitFor(async () => await this.done(from, begun), {
      timeoutMs: wait_ms_max,
      what: `${this.options.bots} bots to run on ${this.current}`,
    });
    return {
      prepare,
      elapsed_ms: performance.now() - begin_ms,
      gaps_ms: moves.map(({ gapMs }) => gapMs ?? 0),
      prepared: moves.filter((move) => move.prepared).length,
    };
  }

  /** The moves of this drain once all bots have arrived; null before. */
  private async done(from: string, begun: string): Promise<Move[] | null> {
    const { moves } = await this.messaging.call('moves.list', { host: from, limit: 500 });
    const own = moves.filter((move) => move.from === from && move.createdAt >= begun);
    const lost = own.find(({ state }) => state === 'failed' || state === 'cancelled');
    if (lost !== undefined) throw new Error(`${lost.bot} was not moved: ${lost.detail ?? lost.state}`);
    const done = own.filter(({ state }) => state === 'done');
    return done.length === this.options.bots ? done : null;
  }

  private async untilEnded(id: string): Promise<void> {
    const ended = await waitFor(
      async () => {
        const operation = await this.messaging.call(
          'operations.wait',
          { id, timeoutMs: wait_ms },
          { timeoutMs: 2 * wait_ms },
        );
        return operation.state === 'running' ? null : operation;
      },
      { timeoutMs: wait_ms_max, what: 'the bots to run' },
    );
    if (ended.state !== 'succeeded')
      throw new Error(`The bots did not come up: ${JSON.stringify(ended.targets[0])}`);
  }
}
