import { Injectable } from '@nestjs/common';
import type { BotObservation, ObservedAllocation } from '#libs/contracts';

interface HostObservations {
  readonly at: Date;
  readonly allocations: ReadonlyMap<string, BotObservation>;
}

/**
 * What hosts last said of their bots; in the memory of the leader alone and gone with it.
 * Holds one heartbeat per host, so it is as bounded as they are.
 */
@Injectable()
export class ObservationStore {
  private readonly hosts = new Map<string, HostObservations>();
  private readonly hostOf = new Map<string, string>();

  /** The last observation of an allocation, or null. */
  get(allocationId: string): BotObservation | null {
    const host = this.hostOf.get(allocationId);
    return host === undefined ? null : (this.hosts.get(host)?.allocations.get(allocationId) ?? null);
  }

  /** When the last heartbeat of the host was answered by this process, or null. */
  lastHeartbeatAt(hostName: string): Date | null {
    return this.hosts.get(hostName)?.at ?? null;
  }

  /** Takes the place of what the host said before. */
  record(hostName: string, observed: readonly ObservedAllocation[], wall_ms: number): void {
    this.forgetAllocations(hostName);
    const allocations = new Map<string, BotObservation>();
    for (const { id, observation } of observed) {
      if (observation === null) continue;
      allocations.set(id, observation);
      this.hostOf.set(id, hostName);
    }
    this.hosts.set(hostName, { at: new Date(wall_ms), allocations });
  }

  private forgetAllocations(hostName: string): void {
    for (const id of this.hosts.get(hostName)?.allocations.keys() ?? []) {
      if (this.hostOf.get(id) === hostName) this.hostOf.delete(id);
    }
  }
}
