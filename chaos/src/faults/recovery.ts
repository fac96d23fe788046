import type { GatewayClient } from '#libs/client';
import type { Clock } from '#libs/clock';
import type { Bot } from '#libs/contracts';
import type { OrderOracle } from '../oracle/order.oracle.js';

const look_ms = 100;
/** What is well must stay so, or it was only not yet broken. */
const steady_ms = 1000;

/** Waits until everything that should trade does. */
export class Recovery {
  constructor(
    private readonly gateway: GatewayClient,
    private readonly oracle: OrderOracle,
    private readonly clock: Clock,
  ) {}

  /**
   * Until every bot that should run is reported to run, and the broker has had an order of it under its present epoch
   * since then.
   * @returns when that was first so, monotonic; throws with what is missing after `bound_ms`
   */
  async wait(since_ms: number, bound_ms: number, stop: AbortSignal): Promise<number> {
    const give_up_ms = this.clock.monotonicMs() + bound_ms;
    let well_ms: number | null = null;
    for (;;) {
      const missing = await this.missing(since_ms);
      const now_ms = this.clock.monotonicMs();
      well_ms = missing.length === 0 ? (well_ms ?? now_ms) : null;
      if (well_ms !== null && now_ms - well_ms >= steady_ms) return well_ms;
      if (now_ms > give_up_ms)
        throw new Error(`Not recovered after ${bound_ms / 1000} s: ${missing.join('; ')}`);
      await this.clock.sleep(look_ms, stop);
    }
  }

  private async missing(since_ms: number): Promise<string[]> {
    try {
      const { bots } = await this.gateway.call('bots.list', { limit: 500 });
      const wanted = bots.filter(({ desired }) => desired === 'running');
      return wanted.flatMap((bot) => this.whyNot(bot, since_ms) ?? []);
    } catch (error) {
      return [`the API does not answer (${error instanceof Error ? error.message : String(error)})`];
    }
  }

  private whyNot({ name, account, status }: Bot, since_ms: number): string | null {
    const { phase, allocation, reason, host } = status;
    if (phase !== 'running')
      return `${name} is ${phase}${reason === null ? '' : ` (${reason})`} on ${host ?? 'no host'}`;
    const last = this.oracle.last(account);
    if (last === null || last.at_ms <= since_ms || last.epoch !== allocation?.epoch)
      return `${name} does not trade on ${host ?? '?'} under epoch ${allocation?.epoch ?? '?'} (last order under ${last?.epoch ?? 'none'})`;
    return null;
  }
}
