import type { HostLoad } from '#libs/contracts';
import type { FleetSnapshot, HostFacts, PlacementRequest } from '../placement/fleet-snapshot.js';
import { refusal } from '../placement/placement.filter.js';

/** An allocation that may be moved: its bot runs, is wanted, and has run for long enough. */
export interface MovableAllocation extends PlacementRequest {
  readonly allocation: string;
  readonly generation: number;
  readonly host: string;
}

export interface RebalanceLimits {
  readonly movesMax: number;
  /** In per cent of capacity. */
  readonly tolerancePercent: number;
}

export interface ChosenMove {
  readonly movable: MovableAllocation;
  readonly to: string;
}

export interface Rebalancing {
  readonly moves: readonly ChosenMove[];
  /** Every host that takes bots, by name. */
  readonly hosts: readonly HostLoad[];
  readonly spread: { readonly before: number; readonly after: number };
}

type Amounts = { cpuMillis: number; memoryMiB: number; bots: number };

/** A tenth of a per cent: less is no gain worth a bot's gap. */
const gain_percent_min = 0.1;

/**
 * Which bots to move so that hosts are loaded alike. Greedy: each move is the one that lowers the fuller of its two
 * hosts most, taken from the fullest host that can be relieved; it ends when the spread is within the tolerance, when
 * nothing helps, or at the bound. A bot moves once. Pure but for the snapshot, on which it reserves the targets.
 *
 * Room that a move will free is not given to another one: all targets are held at once, before anything is freed.
 */
export function planRebalance(
  snapshot: FleetSnapshot,
  movable: readonly MovableAllocation[],
  { movesMax, tolerancePercent }: RebalanceLimits,
): Rebalancing {
  const hosts = snapshot.hosts.filter((host) => host.state === 'ready' && host.heard);
  const held = new Map(hosts.map((host) => [host.name, { ...host.reserved }]));
  const loads = new Loads(hosts, held);
  const before = new Map(hosts.map(({ name }) => [name, loads.of(name)]));
  const spreadBefore = loads.spread();
  const onHost = groupByHost([...movable].sort((a, b) => (a.bot < b.bot ? -1 : a.bot > b.bot ? 1 : 0)));
  const moves: ChosenMove[] = [];
  while (moves.length < movesMax && loads.spread() > tolerancePercent) {
    const move = bestMove(snapshot, loads, onHost);
    if (move === null) break;
    const { movable: leaving, to } = move;
    snapshot.reserve(to, leaving);
    loads.shift(leaving, to);
    onHost.set(
      leaving.host,
      (onHost.get(leaving.host) ?? []).filter((one) => one !== leaving),
    );
    moves.push(move);
  }
  return {
    moves,
    hosts: hosts.map(({ name, capacity }) => ({
      host: name,
      before: percent(before.get(name) ?? 0),
      after: percent(loads.of(name)),
      capacity,
    })),
    spread: { before: percent(spreadBefore), after: percent(loads.spread()) },
  };
}

/** From the fullest host that has a move that helps; of its moves the one after which the fuller host is emptiest. */
function bestMove(
  snapshot: FleetSnapshot,
  loads: Loads,
  onHost: ReadonlyMap<string, readonly MovableAllocation[]>,
): ChosenMove | null {
  for (const from of loads.fullestFirst()) {
    let best: ChosenMove | null = null;
    let bestPeak = loads.of(from) - gain_percent_min;
    for (const movable of onHost.get(from) ?? []) {
      for (const target of snapshot.hosts) {
        if (target.name === from || !loads.has(target.name)) continue;
        if (refusal(target, movable) !== null || crowdsTenant(snapshot, movable, target)) continue;
        const peak = loads.peakAfter(movable, target.name);
        if (peak < bestPeak) [best, bestPeak] = [{ movable, to: target.name }, peak];
      }
    }
    if (best !== null) return best;
  }
  return null;
}

/** A bot that would rather be apart from its tenant's others does not go to where there are more of them. */
function crowdsTenant(snapshot: FleetSnapshot, movable: MovableAllocation, target: HostFacts): boolean {
  if (movable.antiAffinity === 'none') return false;
  const beside = (snapshot.get(movable.host)?.tenants.get(movable.tenant) ?? 1) - 1;
  return (target.tenants.get(movable.tenant) ?? 0) > beside;
}

function groupByHost(movable: readonly MovableAllocation[]): Map<string, MovableAllocation[]> {
  const groups = new Map<string, MovableAllocation[]>();
  for (const one of movable) {
    const group = groups.get(one.host);
    if (group === undefined) groups.set(one.host, [one]);
    else group.push(one);
  }
  return groups;
}

const percent = (load: number): number => Math.round(load * 10) / 10;
const share = (used: number, whole: number): number => (whole === 0 ? 100 : (100 * used) / whole);

/** How full hosts are as moves are chosen: the scarcest of CPU, memory and bots, in per cent of capacity. */
class Loads {
  private readonly capacities: ReadonlyMap<string, Amounts>;

  constructor(
    hosts: readonly HostFacts[],
    private readonly held: Map<string, Amounts>,
  ) {
    this.capacities = new Map(hosts.map((host) => [host.name, host.capacity]));
  }

  has(host: string): boolean {
    return this.held.has(host);
  }

  of(host: string): number {
    return this.loadWith(host, { cpuMillis: 0, memoryMiB: 0 }, 0);
  }

  spread(): number {
    const all = [...this.held.keys()].map((host) => this.of(host));
    return all.length === 0 ? 0 : Math.max(...all) - Math.min(...all);
  }

  fullestFirst(): string[] {
    return [...this.held.keys()].sort((a, b) => this.of(b) - this.of(a) || (a < b ? -1 : 1));
  }

  /** Load of the fuller of the two hosts after the move. */
  peakAfter({ host, resources }: MovableAllocation, to: string): number {
    return Math.max(this.loadWith(host, resources, -1), this.loadWith(to, resources, 1));
  }

  shift({ host, resources }: MovableAllocation, to: string): void {
    for (const [name, sign] of [
      [host, -1],
      [to, 1],
    ] as const) {
      const amounts = this.held.get(name);
      if (amounts === undefined) continue;
      amounts.cpuMillis += sign * resources.cpuMillis;
      amounts.memoryMiB += sign * resources.memoryMiB;
      amounts.bots += sign;
    }
  }

  private loadWith(host: string, resources: Pick<Amounts, 'cpuMillis' | 'memoryMiB'>, bots: number): number {
    const held = this.held.get(host);
    const capacity = this.capacities.get(host);
    if (held === undefined || capacity === undefined) return 0;
    return Math.max(
      share(held.cpuMillis + bots * resources.cpuMillis, capacity.cpuMillis),
      share(held.memoryMiB + bots * resources.memoryMiB, capacity.memoryMiB),
      share(held.bots + bots, capacity.bots),
    );
  }
}
