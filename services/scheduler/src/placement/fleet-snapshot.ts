import type {
  Capacity,
  Constraint,
  HostState,
  Labels,
  Resources,
  RuntimeName,
  RuntimeRef,
} from '#libs/contracts';

/** A host as placement sees it. */
export interface HostFacts {
  readonly name: string;
  readonly state: HostState;
  /** Whether a heartbeat was answered lately enough to give it more to do. */
  readonly heard: boolean;
  readonly runtimes: readonly RuntimeRef[];
  readonly labels: Labels;
  readonly capacity: Capacity;
  /** What live allocations hold. */
  readonly reserved: Capacity;
  /** Live allocations by tenant. A map, because any name may be a tenant's, also `constructor`. */
  readonly tenants: ReadonlyMap<string, number>;
}

/** Room that a move holds for a bot on the host it goes to. */
export interface HeldRoom {
  readonly host: string;
  readonly cpuMillis: number;
  readonly memoryMiB: number;
}

/** What a bot asks of a host. */
export interface PlacementRequest {
  readonly bot: string;
  readonly tenant: string;
  readonly runtime: RuntimeName;
  /** Null for the host's default image. */
  readonly version: string | null;
  readonly resources: Pick<Resources, 'cpuMillis' | 'memoryMiB'>;
  readonly constraints: readonly Constraint[];
  readonly antiAffinity: 'none' | 'prefer' | 'require';
  /** It is on its way there. */
  readonly heldRoom?: HeldRoom | null;
  /** Hosts where it failed lately, one entry for each time; others are preferred. */
  readonly recentFailures?: readonly string[];
  /** Where its volume is: preferred while it can take the bot. Left out when no host is. */
  readonly keepOn?: string | null;
}

/** A host in a snapshot; what it holds grows as the pass places bots on it. */
export interface HostSlot extends HostFacts {
  readonly reserved: { cpuMillis: number; memoryMiB: number; bots: number };
  readonly tenants: Map<string, number>;
}

/**
 * The hosts at one moment, with what this pass has placed on them since. Made once per pass, so that placing n bots
 * takes no query per bot.
 */
export class FleetSnapshot {
  /** By name, so that the same facts always give the same order. */
  readonly hosts: readonly HostSlot[];
  private readonly byName: ReadonlyMap<string, HostSlot>;

  constructor(hosts: readonly HostFacts[]) {
    this.hosts = hosts
      .map((host) => ({ ...host, reserved: { ...host.reserved }, tenants: new Map(host.tenants) }))
      .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    this.byName = new Map(this.hosts.map((host) => [host.name, host]));
  }

  get(name: string): HostSlot | undefined {
    return this.byName.get(name);
  }

  /** Whether what is reserved on the host is no more than it has. */
  isWithinCapacity(name: string): boolean {
    const host = this.byName.get(name);
    if (host === undefined) return false;
    const { reserved, capacity } = host;
    return (
      reserved.bots <= capacity.bots &&
      reserved.cpuMillis <= capacity.cpuMillis &&
      reserved.memoryMiB <= capacity.memoryMiB
    );
  }

  /** Holds room for the bot on the host; the caller has found that it fits. */
  reserve(hostName: string, request: PlacementRequest): void {
    this.add(hostName, request, 1);
  }

  /** Gives the room back, when the allocation was not made after all. */
  release(hostName: string, request: PlacementRequest): void {
    this.add(hostName, request, -1);
  }

  /** Gives room back that was held for the bot, so that it can be asked for in the ordinary way. */
  giveBack(held: HeldRoom, request: PlacementRequest): void {
    if (this.byName.has(held.host)) this.add(held.host, { ...request, resources: held }, -1);
  }

  private add(hostName: string, request: PlacementRequest, sign: 1 | -1): void {
    const host = this.byName.get(hostName);
    if (host === undefined) throw new Error(`The snapshot has no host ${hostName}.`);
    host.reserved.cpuMillis += sign * request.resources.cpuMillis;
    host.reserved.memoryMiB += sign * request.resources.memoryMiB;
    host.reserved.bots += sign;
    host.tenants.set(request.tenant, (host.tenants.get(request.tenant) ?? 0) + sign);
  }
}
