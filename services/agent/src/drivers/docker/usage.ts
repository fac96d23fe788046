import type { CpuSample } from '../cpu-meter.js';
import type { Usage } from './engine-answers.js';

const MIB = 1024 * 1024;
const NS_PER_MS = 1e6;

/** What one sample says, or null when the container does not run. */
export function sampleOf(usage: Usage): (CpuSample & { memoryMiB: number; pids: number }) | null {
  const pids = usage.pids_stats.current ?? 0;
  if (usage.read === null || pids === 0) return null;
  return {
    at_ms: Date.parse(usage.read),
    cpu_ms: usage.cpu_stats.cpu_usage.total_usage / NS_PER_MS,
    memoryMiB: Math.round(memoryBytes(usage) / MIB),
    pids,
  };
}

/** Memory that cannot be taken back: page cache not in use does not count. cgroup v1 and v2 name it differently. */
function memoryBytes({ memory_stats }: Usage): number {
  const cache = memory_stats.stats?.total_inactive_file ?? memory_stats.stats?.inactive_file ?? 0;
  return Math.max(0, (memory_stats.usage ?? 0) - cache);
}
