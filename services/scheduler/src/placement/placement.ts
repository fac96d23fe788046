import type { FleetSnapshot, HostSlot, PlacementRequest } from './fleet-snapshot.js';
import { refusal } from './placement.filter.js';
import { score, type PlacementStrategy } from './placement.score.js';

/** Where a bot goes, or why nowhere: a sentence for people, stable while the fleet is. */
export type Placement = { readonly host: string } | { readonly host: null; readonly reason: string };

/**
 * Chooses a host for one bot. Does not reserve: the caller does when it goes on with the answer.
 * Deterministic: equal scores go to the host whose name sorts first.
 * @param except hosts that are not to be chosen, such as the one the bot is to leave
 */
export function place(
  snapshot: FleetSnapshot,
  request: PlacementRequest,
  strategy: PlacementStrategy,
  except: readonly string[] = [],
): Placement {
  let best: HostSlot | null = null;
  let bestScore = -Infinity;
  const refusals = new Map<string, number>();
  for (const host of snapshot.hosts) {
    if (except.includes(host.name)) continue;
    const reason = refusal(host, request);
    if (reason !== null) {
      refusals.set(reason, (refusals.get(reason) ?? 0) + 1);
      continue;
    }
    const points = score(host, request, strategy);
    if (points > bestScore) [best, bestScore] = [host, points];
  }
  return best === null ? { host: null, reason: explain(refusals) } : { host: best.name };
}

/** "3 hosts: 2 draining, 1 without 128 MiB free": the most frequent reason first. Fits the field of a reason. */
function explain(refusals: ReadonlyMap<string, number>): string {
  const entries = [...refusals].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
  const total = entries.reduce((sum, [, count]) => sum + count, 0);
  if (total === 0) return 'There is no host.';
  const parts = entries.slice(0, 4).map(([reason, count]) => `${count} ${reason}`);
  if (entries.length > 4) parts.push('and others');
  return `${total} ${total === 1 ? 'host' : 'hosts'}: ${parts.join(', ')}`.slice(0, 300);
}

/**
 * Places many bots in the given order on one snapshot and reserves as it goes: O(bots x hosts).
 * Bots that ask for the same thing share a refusal: room only shrinks while a pass places.
 */
export function placeAll<R extends PlacementRequest>(
  snapshot: FleetSnapshot,
  requests: readonly R[],
  strategy: PlacementStrategy,
): { placed: { request: R; host: string }[]; refused: { request: R; reason: string }[] } {
  const placed: { request: R; host: string }[] = [];
  const refused: { request: R; reason: string }[] = [];
  const onTheirWay = new Set<R>();
  for (const request of requests) {
    const host = takeHeldRoom(snapshot, request);
    if (host === null) continue;
    onTheirWay.add(request);
    placed.push({ request, host });
  }
  const hopeless = new Map<string, string>();
  for (const request of requests) {
    if (onTheirWay.has(request)) continue;
    const shape = shapeOf(request);
    const known = hopeless.get(shape);
    const answer: Placement =
      known === undefined ? place(snapshot, request, strategy) : { host: null, reason: known };
    if (answer.host === null) {
      hopeless.set(shape, answer.reason);
      refused.push({ request, reason: answer.reason });
    } else {
      snapshot.reserve(answer.host, request);
      placed.push({ request, host: answer.host });
    }
  }
  return { placed, refused };
}

/**
 * Puts a bot that is on its way where room is held for it, while that host can take it; else the room is given back
 * and the bot asks as any other. Before all others: what they ask for must not depend on it.
 */
function takeHeldRoom(snapshot: FleetSnapshot, request: PlacementRequest): string | null {
  const { heldRoom } = request;
  if (heldRoom === undefined || heldRoom === null) return null;
  snapshot.giveBack(heldRoom, request);
  const host = snapshot.get(heldRoom.host);
  if (host === undefined || refusal(host, request) !== null) return null;
  snapshot.reserve(host.name, request);
  return host.name;
}

/** All that decides whether a host fits. */
const shapeOf = (request: PlacementRequest): string =>
  JSON.stringify([
    request.tenant,
    request.runtime,
    request.version,
    request.resources.cpuMillis,
    request.resources.memoryMiB,
    request.constraints,
    request.antiAffinity,
  ]);
