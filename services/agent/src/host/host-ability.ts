import { statfs } from 'node:fs/promises';
import { arch, release, type } from 'node:os';
import type { Capacity, HostFingerprint, RuntimeRef } from '#libs/contracts';
import type { Fingerprint } from '../drivers/driver.js';
import { StartupFault } from '../errors.js';
import { cgroupLimits, type CgroupLimits } from './cgroup-limits.js';

const MIB = 1024 * 1024;
/** What is kept back unless the configuration says how much: this part of what was measured, and at least so much. */
const reserved_share = 0.05;
const reserved_cpu_millis_min = 100;
const reserved_memory_mib_min = 256;
/** A machine so small that the least would be most of it keeps back half. */
const reserved_share_max = 0.5;

/** What this host offers to the fleet: what its driver has measured, as the configuration bounds it. */
export interface HostAbility {
  readonly driver: Fingerprint['driver'];
  readonly runtimes: readonly RuntimeRef[];
  readonly capacity: Capacity;
  readonly fingerprint: HostFingerprint;
}
export const HOST_ABILITY = Symbol('HostAbility');

export interface CapacityWishes {
  /** Offered instead of what was measured. */
  readonly capacityCpuMillis?: number | undefined;
  readonly capacityMemoryMib?: number | undefined;
  readonly capacityBots?: number | undefined;
  /** Kept back for the machine itself. */
  readonly reservedCpuMillis?: number | undefined;
  readonly reservedMemoryMib?: number | undefined;
}

/** What is not the driver's to measure. */
export type Machine = Pick<HostFingerprint, 'kernel' | 'arch' | 'diskMiB' | 'diskFreeMiB'> & {
  readonly limits: CgroupLimits;
};

/**
 * Looks at the machine. The limits are those that bots are under: of this process's own control group when it starts
 * them itself, of the container both are in when an engine does, none when nothing is run.
 */
export async function measureMachine(driver: Fingerprint['driver'], stateDir: string): Promise<Machine> {
  const disk = await statfs(stateDir);
  return {
    kernel: `${type()} ${release()}`.slice(0, 100),
    arch: arch(),
    diskMiB: Math.floor((disk.blocks * disk.bsize) / MIB),
    diskFreeMiB: Math.floor((disk.bavail * disk.bsize) / MIB),
    limits:
      driver === 'simulated'
        ? { cpuMillis: null, memoryMiB: null }
        : await cgroupLimits(driver === 'process' ? 'self' : 'machine'),
  };
}

/**
 * What the host offers: what was measured, within the limits of the kernel, less what is kept back. What the
 * configuration offers is offered as it is, less what the configuration keeps back.
 * @throws StartupFault when nothing is left to offer.
 */
export function hostAbility(
  measured: Fingerprint,
  machine: Machine,
  wishes: CapacityWishes,
  agentVersion: string,
): HostAbility {
  const { driver, runtimes } = measured;
  const cpuMillis = within(measured.capacity.cpuMillis, machine.limits.cpuMillis);
  const memoryMiB = within(measured.capacity.memoryMiB, machine.limits.memoryMiB);
  const isRealMachine = driver !== 'simulated';
  const reservation = {
    cpuMillis:
      wishes.reservedCpuMillis ??
      (isRealMachine && wishes.capacityCpuMillis === undefined
        ? keptBack(cpuMillis, reserved_cpu_millis_min)
        : 0),
    memoryMiB:
      wishes.reservedMemoryMib ??
      (isRealMachine && wishes.capacityMemoryMib === undefined
        ? keptBack(memoryMiB, reserved_memory_mib_min)
        : 0),
  };
  const capacity: Capacity = {
    cpuMillis: (wishes.capacityCpuMillis ?? cpuMillis) - reservation.cpuMillis,
    memoryMiB: (wishes.capacityMemoryMib ?? memoryMiB) - reservation.memoryMiB,
    bots: wishes.capacityBots ?? measured.capacity.bots,
  };
  if (capacity.cpuMillis <= 0 || capacity.memoryMiB <= 0 || capacity.bots <= 0) {
    throw new StartupFault(
      'The reservation leaves nothing for bots. Lower TRADEFLEET_RESERVED_CPU_MILLIS or TRADEFLEET_RESERVED_MEMORY_MIB.',
    );
  }
  const { kernel, arch: processor, diskMiB, diskFreeMiB } = machine;
  const fingerprint: HostFingerprint = {
    kernel,
    arch: processor,
    engine: measured.version.slice(0, 100),
    agentVersion: agentVersion.slice(0, 40),
    cpuMillis,
    memoryMiB,
    diskMiB,
    diskFreeMiB,
    reservation,
  };
  return { driver, runtimes, capacity, fingerprint };
}

const within = (measured: number, limit: number | null): number =>
  limit === null ? measured : Math.min(measured, limit);

const keptBack = (measured: number, least: number): number =>
  Math.floor(Math.min(Math.max(measured * reserved_share, least), measured * reserved_share_max));
