import { tmpdir } from 'node:os';
import { describe, expect, it } from '@jest/globals';
import { HostFingerprint } from '#libs/contracts';
import type { Fingerprint } from '../drivers/driver.js';
import { hostAbility, measureMachine, type CapacityWishes, type Machine } from './host-ability.js';

const measured: Fingerprint = {
  driver: 'docker',
  version: 'Docker Engine 26.1.0 (API 1.45)',
  runtimes: ['paper'],
  capacity: { cpuMillis: 8000, memoryMiB: 16_000, bots: 50 },
};
const machine: Machine = {
  kernel: 'Linux 6.1.0',
  arch: 'x64',
  diskMiB: 100_000,
  diskFreeMiB: 60_000,
  limits: { cpuMillis: null, memoryMiB: null },
};
const ability = (
  wishes: CapacityWishes = {},
  limits: Partial<Machine['limits']> = {},
  over: Partial<Fingerprint> = {},
) =>
  hostAbility(
    { ...measured, ...over },
    { ...machine, limits: { ...machine.limits, ...limits } },
    wishes,
    '1.2.3',
  );

describe('what a host offers', () => {
  it('is what was measured less a twentieth, and says what it is', () => {
    const { capacity, fingerprint } = ability();
    expect(capacity).toEqual({ cpuMillis: 7600, memoryMiB: 15_200, bots: 50 });
    expect(HostFingerprint.parse(fingerprint)).toEqual({
      kernel: 'Linux 6.1.0',
      arch: 'x64',
      engine: 'Docker Engine 26.1.0 (API 1.45)',
      agentVersion: '1.2.3',
      cpuMillis: 8000,
      memoryMiB: 16_000,
      diskMiB: 100_000,
      diskFreeMiB: 60_000,
      reservation: { cpuMillis: 400, memoryMiB: 800 },
    });
  });

  it('keeps back at least what the platform needs, at most half', () => {
    expect(ability({}, { cpuMillis: 1000, memoryMiB: 2000 }).capacity).toMatchObject({
      cpuMillis: 900,
      memoryMiB: 1744,
    });
    expect(ability({}, { cpuMillis: 100, memoryMiB: 300 }).capacity).toMatchObject({
      cpuMillis: 50,
      memoryMiB: 150,
    });
  });

  it('is no more than the kernel allows', () => {
    const { capacity, fingerprint } = ability({}, { cpuMillis: 4000, memoryMiB: 1_000_000 });
    expect(fingerprint).toMatchObject({ cpuMillis: 4000, memoryMiB: 16_000 });
    expect(capacity.cpuMillis).toBe(3800);
  });

  it('is what the configuration says, where it says something', () => {
    expect(ability({ capacityMemoryMib: 1000, capacityBots: 3 }).capacity).toEqual({
      cpuMillis: 7600,
      memoryMiB: 1000,
      bots: 3,
    });
    expect(ability({ reservedCpuMillis: 0, reservedMemoryMib: 1 }).capacity).toMatchObject({
      cpuMillis: 8000,
      memoryMiB: 15_999,
    });
    expect(ability({ capacityCpuMillis: 500, reservedCpuMillis: 100 }).capacity.cpuMillis).toBe(400);
    expect(() => ability({ reservedCpuMillis: 8000 })).toThrow(/TRADEFLEET_RESERVED_CPU_MILLIS/);
  });

  it('is all of it where nothing is run', () => {
    expect(ability({}, {}, { driver: 'simulated' }).capacity).toEqual(measured.capacity);
  });
});

describe('measureMachine', () => {
  it('sees this machine', async () => {
    const here = await measureMachine('docker', tmpdir());
    expect(here.kernel).toMatch(/^\S+ \d/);
    expect(here.diskMiB).toBeGreaterThan(0);
    expect(here.diskFreeMiB).toBeLessThanOrEqual(here.diskMiB);
    expect((await measureMachine('simulated', tmpdir())).limits).toEqual({
      cpuMillis: null,
      memoryMiB: null,
    });
  });
});
