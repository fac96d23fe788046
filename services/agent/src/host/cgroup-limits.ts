import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

const MIB = 1024 * 1024;

/** What the kernel lets processes use at most; null where nothing is said. */
export interface CgroupLimits {
  readonly cpuMillis: number | null;
  readonly memoryMiB: number | null;
}

export interface CgroupFiles {
  /** Where the control groups are mounted. */
  readonly root: string;
  /** Says in which control groups this process is. */
  readonly self: string;
}
const systemFiles: CgroupFiles = { root: '/sys/fs/cgroup', self: '/proc/self/cgroup' };

/**
 * The tightest limit of the control groups, version 1 or 2, from one up to the outermost that can be seen.
 * @param of `self` for what this process starts itself; `machine` for what an engine beside it does, which is not in
 *   this process's group but is in whatever container, if any, both of them run in.
 */
export async function cgroupLimits(
  of: 'self' | 'machine',
  files: CgroupFiles = systemFiles,
): Promise<CgroupLimits> {
  const groups = of === 'self' ? await groupsOfSelf(files.self) : new Map<string, string>();
  const found: CgroupLimits[] = [];
  for (const [folder, controller] of [
    ['', ''],
    ['memory', 'memory'],
    ['cpu', 'cpu'],
    ['cpu,cpuacct', 'cpu'],
  ] as const)
    for (const group of upwards(groups.get(controller) ?? '/'))
      found.push(await limitsIn(join(files.root, folder, group)));
  return {
    cpuMillis: least(found.map((limits) => limits.cpuMillis)),
    memoryMiB: least(found.map((limits) => limits.memoryMiB)),
  };
}

/** Controller to path; version 2 has no controllers. */
async function groupsOfSelf(path: string): Promise<Map<string, string>> {
  const groups = new Map<string, string>();
  for (const line of ((await textOf(path)) ?? '').split('\n')) {
    const [, controllers, ...group] = line.split(':');
    for (const controller of controllers?.split(',') ?? []) groups.set(controller, group.join(':'));
  }
  return groups;
}

/** `/a/b` -> `/a/b`, `/a`, `/`. */
function upwards(group: string): string[] {
  const parts = group.split('/').filter((part) => part !== '' && part !== '..');
  return parts.map((_, index) => `/${parts.slice(0, parts.length - index).join('/')}`).concat('/');
}

async function limitsIn(folder: string): Promise<CgroupLimits> {
  const [memory2, memory1, cpu2, quota1, period1] = await Promise.all(
    ['memory.max', 'memory.limit_in_bytes', 'cpu.max', 'cpu.cfs_quota_us', 'cpu.cfs_period_us'].map(
      async (file) => await textOf(join(folder, file)),
    ),
  );
  const memory_bytes = numberOf(memory2) ?? numberOf(memory1);
  const [quota, period] = cpu2 === null || cpu2 === undefined ? [quota1, period1] : cpu2.split(' ');
  const [quota_us, period_us] = [numberOf(quota), numberOf(period)];
  return {
    memoryMiB: memory_bytes === null ? null : Math.floor(memory_bytes / MIB),
    cpuMillis:
      quota_us === null || period_us === null || period_us === 0
        ? null
        : Math.floor((quota_us / period_us) * 1000),
  };
}

/** `max` and -1 are no limit. */
function numberOf(text: string | null | undefined): number | null {
  const value = Number(text?.trim() === '' ? NaN : (text ?? NaN));
  return Number.isFinite(value) && value >= 0 ? value : null;
}

const least = (values: readonly (number | null)[]): number | null => {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : Math.min(...known);
};

/** Null where there is no such file: the other version, the outermost group, another system. */
async function textOf(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EOPNOTSUPP') return null;
    throw error;
  }
}
