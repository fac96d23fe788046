import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { cgroupLimits } from './cgroup-limits.js';

const GIB = 1024 ** 3;

describe('cgroupLimits', () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'tradefleet-cgroup-'));
  });
  afterEach(async () => {
    await rm(root, { recursive: true });
  });

  const write = async (files: Record<string, string>): Promise<void> => {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), `${text}\n`);
    }
  };
  const read = async (of: 'self' | 'machine', self: string) => {
    await writeFile(join(root, 'self'), self);
    return await cgroupLimits(of, { root, self: join(root, 'self') });
  };

  it('takes the tightest of version 2 on the way up', async () => {
    await write({
      'system.slice/memory.max': String(2 * GIB),
      'system.slice/cpu.max': 'max 100000',
      'system.slice/agent.service/memory.max': 'max',
      'system.slice/agent.service/cpu.max': '150000 100000',
    });
    expect(await read('self', '0::/system.slice/agent.service\n')).toEqual({
      cpuMillis: 1500,
      memoryMiB: 2048,
    });
  });

  it('leaves out what binds the agent alone when an engine runs the bots', async () => {
    await write({ 'system.slice/agent.service/memory.max': String(GIB) });
    expect(await read('machine', '0::/system.slice/agent.service\n')).toEqual({
      cpuMillis: null,
      memoryMiB: null,
    });
    // In a container both are in, the root that can be seen is that container.
    await write({ 'memory.max': String(4 * GIB), 'cpu.max': '200000 100000' });
    expect(await read('machine', '0::/init\n')).toEqual({ cpuMillis: 2000, memoryMiB: 4096 });
  });

  it('reads version 1, whose paths may not be visible from inside a container', async () => {
    await write({
      'memory/memory.limit_in_bytes': String(3 * GIB),
      'cpu,cpuacct/cpu.cfs_quota_us': '50000',
      'cpu,cpuacct/cpu.cfs_period_us': '100000',
    });
    expect(await read('self', '4:memory:/docker/0123\n3:cpu,cpuacct:/docker/0123\n')).toEqual({
      cpuMillis: 500,
      memoryMiB: 3072,
    });
    await write({ 'cpu,cpuacct/cpu.cfs_quota_us': '-1' });
    expect((await read('self', '')).cpuMillis).toBeNull();
  });

  it('knows of no limit where there are no control groups, and reads this machine', async () => {
    expect(await read('self', '')).toEqual({ cpuMillis: null, memoryMiB: null });
    const here = await cgroupLimits('self');
    for (const limit of Object.values(here) as (number | null)[])
      expect(limit === null || limit >= 0).toBe(true);
  });
});
