import { readdirSync, readFileSync } from 'node:fs';

/** What a process and its children have cost so far. */
export interface Cost {
  readonly cpu_ms: number;
  /** Resident memory; what is shared counts for each who shares it. */
  readonly rss_mib: number;
  /** Resident memory, the part it shares divided among those who share it. */
  readonly pss_mib: number;
}

/** Ticks of proc(5) are hundredths of a second on every Linux we know (USER_HZ). */
const tick_ms = 10;

/** Linux only; null elsewhere and for a process that is gone. */
export function costOf(pid: number): Cost | null {
  const own = ownCostOf(pid);
  if (own === null) return null;
  return childrenOf(pid).reduce((sum, child) => {
    const cost = costOf(child);
    return cost === null ? sum : addCosts(sum, cost);
  }, own);
}

/** Without its children. */
export function ownCostOf(pid: number): Cost | null {
  const stat = readStat(pid);
  return stat === null ? null : { cpu_ms: stat.cpu_ms, ...memoryOf(pid) };
}

export const addCosts = (a: Cost, b: Cost): Cost => ({
  cpu_ms: a.cpu_ms + b.cpu_ms,
  rss_mib: a.rss_mib + b.rss_mib,
  pss_mib: a.pss_mib + b.pss_mib,
});

export function childrenOf(pid: number): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((other) => readStat(other)?.parent === pid);
  } catch {
    return [];
  }
}

function readStat(pid: number): { parent: number; cpu_ms: number } | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field, the name, may hold anything but ends with the last parenthesis.
    const fields = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    // ppid is field 4; utime, stime, cutime and cstime are 14 to 17.
    const ticks = fields.slice(11, 15).reduce((sum, one) => sum + one, 0);
    return { parent: fields[1] ?? 0, cpu_ms: ticks * tick_ms };
  } catch {
    return null; // ended meanwhile
  }
}

function memoryOf(pid: number): { rss_mib: number; pss_mib: number } {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    const mib = (key: string): number =>
      Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) / 1024;
    return { rss_mib: mib('Rss'), pss_mib: mib('Pss') };
  } catch {
    return { rss_mib: 0, pss_mib: 0 }; // ended meanwhile, or another's
  }
}
