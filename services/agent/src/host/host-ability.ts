import type { Capacity, RuntimeRef } from '#libs/contracts';
import type { Fingerprint } from '../drivers/driver.js';
import { StartupFault } from '../errors.js';

/** What this host offers to the fleet: what its driver has measured, as the configuration bounds it. */
export interface HostAbility {
  readonly driver: Fingerprint['driver'];
  readonly runtimes: readonly RuntimeRef[];
  readonly capacity: Capacity;
}
export const HOST_ABILITY = Symbol('HostAbility');

export interface CapacityWishes {
  /** Offered instead of what was measured. */
  readonly capacityCpuMillis?: number | undefined;
  readonly capacityMemoryMib?: number | undefined;
  readonly capacityBots?: number | undefined;
  /** Kept back for the machine itself. */
  readonly reservedCpuMillis: number;
  readonly reservedMemoryMib: number;
}

/** @throws StartupFault when nothing is left to offer. */
export function hostAbility(fingerprint: Fingerprint, wishes: CapacityWishes): HostAbility {
  const measured = fingerprint.capacity;
  const capacity: Capacity = {
    cpuMillis: (wishes.capacityCpuMillis ?? measured.cpuMillis) - wishes.reservedCpuMillis,
    memoryMiB: (wishes.capacityMemoryMib ?? measured.memoryMiB) - wishes.reservedMemoryMib,
    bots: wishes.capacityBots ?? measured.bots,
  };
  if (capacity.cpuMillis <= 0 || capacity.memoryMiB <= 0 || capacity.bots <= 0) {
    throw new StartupFault(
      'The reservation leaves nothing for bots. Lower TRADEFLEET_RESERVED_CPU_MILLIS or TRADEFLEET_RESERVED_MEMORY_MIB.',
    );
  }
  return { driver: fingerprint.driver, runtimes: fingerprint.runtimes, capacity };
}
