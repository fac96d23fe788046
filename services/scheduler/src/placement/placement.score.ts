import type { HostFacts, PlacementRequest } from './fleet-snapshot.js';

/** `spread`: the emptiest host first. `binpack`: the fullest that still fits, to leave hosts free. */
export type PlacementStrategy = 'spread' | 'binpack';

const share = (used: number, whole: number): number => (whole === 0 ? 1 : used / whole);

/** How full the host would be with the bot, 0 to 1: the scarcest of its resources decides. */
const fullness = (host: HostFacts, { resources }: PlacementRequest): number =>
  Math.max(
    share(host.reserved.cpuMillis + resources.cpuMillis, host.capacity.cpuMillis),
    share(host.reserved.memoryMiB + resources.memoryMiB, host.capacity.memoryMiB),
    share(host.reserved.bots + 1, host.capacity.bots),
  );

/**
 * How well the host suits the bot; higher is better. Only compared between hosts that passed every filter.
 * A preferred anti-affinity outweighs fullness (which is at most 1): one bot of the tenant fewer is worth more.
 */
export function score(host: HostFacts, request: PlacementRequest, strategy: PlacementStrategy): number {
  const full = fullness(host, request);
  const crowd = request.antiAffinity === 'none' ? 0 : (host.tenants.get(request.tenant) ?? 0);
  // Its volume is there: worth more than any fullness, less than a tenant's bot beside it.
  const stays = request.keepOn === host.name ? 1.5 : 0;
  // A bot that failed here is tried elsewhere first, whatever else speaks for this host; if all failed, where it was least.
  const failed = request.recentFailures?.filter((name) => name === host.name).length ?? 0;
  return (strategy === 'spread' ? -full : full) + stays - 2 * crowd - 4 * failed;
}
