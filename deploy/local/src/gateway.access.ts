import { GatewayClient } from '#libs/client';
import type { Bot, Host } from '#libs/contracts';
import { readFileSync } from 'node:fs';
import type { FleetPaths } from './fleet.paths.js';
import type { FleetRecord } from './fleet.record.js';

/** A client of the running fleet's gateway, with the admin token from its file. */
export function gatewayOf(record: Pick<FleetRecord, 'gatewayUrl'>, paths: FleetPaths): GatewayClient {
  return new GatewayClient({ url: record.gatewayUrl, token: readFileSync(paths.adminToken, 'utf8').trim() });
}

const pages_max = 20;

/** All bots and hosts, page by page. */
export async function readFleet(gateway: GatewayClient): Promise<{ bots: Bot[]; hosts: Host[] }> {
  const bots: Bot[] = [];
  let after: string | null = null;
  for (let page = 0; page < pages_max; page += 1) {
    const got: { bots: Bot[]; next: string | null } = await gateway.call('bots.list', {
      limit: 500,
      ...(after === null ? {} : { after }),
    });
    bots.push(...got.bots);
    after = got.next;
    if (after === null) break;
  }
  const { hosts } = await gateway.call('hosts.list', { limit: 500 });
  return { bots, hosts };
}
