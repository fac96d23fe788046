import type { GatewayClient } from '#libs/client';
import { waitFor, withClient } from '#libs/testing';
import type { Network } from '../network/network.js';
import type { OrderOracle } from '../oracle/order.oracle.js';

const seen_ms_max = 30_000;

/**
 * Breaks the rule that all of this is about, so that whoever looks for it can be seen to find it: the accounts of a host
 * that is cut off from NATS, and trades on, are given away at once, without waiting for the end of its leases.
 */
export class RuleBreaker {
  constructor(
    private readonly gateway: GatewayClient,
    private readonly network: Network,
    private readonly databaseUrl: string,
    private readonly oracle: OrderOracle,
  ) {}

  /** Returns once the broker has seen two bots trade one account. Throws when it does not. */
  async run(): Promise<void> {
    const { bots } = await this.gateway.call('bots.list', { limit: 500 });
    const host = bots.find(({ status }) => status.host !== null)?.status.host;
    if (host == null) throw new Error('No bot runs anywhere.');
    await this.network.cut(host, 'control', 'cut');
    try {
      await this.giveAway(host);
      await waitFor(() => this.oracle.overlapsTotal > 0, {
        timeoutMs: seen_ms_max,
        what: `the broker to see that the bots of ${host} trade twice`,
      });
    } finally {
      await this.network.mend(host, 'control', 'cut');
    }
  }

  private async giveAway(host: string): Promise<void> {
    await withClient(this.databaseUrl, async (client) => {
      await client.query(
        `UPDATE scheduler.hosts SET state = 'down', generation = generation + 1 WHERE name = $1`,
        [host],
      );
      await client.query(
        `UPDATE scheduler.allocations SET state = 'lost', reason = 'host-lost', ended_at = now()
          WHERE host = $1 AND state = 'running'`,
        [host],
      );
    });
  }
}
