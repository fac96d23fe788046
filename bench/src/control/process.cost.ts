import { readdirSync, readFileSync } from 'node:fs';

/** What a process and its children have cost so far. */
export interface Cost {
  readonly cpu_ms: number;
  /** Resident memory, the part it shares divided among those who share it. */
  readonly pss_mib: number;
}

/** Ticks of proc(5) are hundredths of a second on every Linux we know (USER_HZ). */
const tick_ms = 10;

/** Linux only; null elsewhere and for a process that is gone. */
export function costOf(pid: number): Cost | null {
  const stat = readStat(pid);
  if (stat === null) return null;
  const own = { cpu_ms: stat.cpu_ms, pss_mib: pssOf(pid) };
  return childrenOf(pid).reduce((sum, child) => {
    const cost = costOf(child);
    if (cost === null) return sum;
    return { cpu_ms: sum.cpu_ms + cost.cpu_ms, pss_mib: sum.pss_mib + cost.pss_mib };
  }, own);
}

function childrenOf(pid: number): number[] {
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

function pssOf(pid: number): number {
  try {
    const [, kib = '0'] = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')) ?? [];
    return Number(kib) / 1024;
  } catch {
    return 0;
  }
}
