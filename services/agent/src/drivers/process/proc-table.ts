import { errorCode } from '../error-code.js';
import { readdirSync, readFileSync } from 'node:fs';

/** The kernel shows times of processes in this unit on every architecture (USER_HZ). */
const TICKS_PER_S = 100;

/** One process as the kernel shows it. Pid and start together are never used twice while the machine is up. */
export interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  readonly session: number;
  /** Clock ticks from boot to its start. */
  readonly startTicks: number;
  /** Ended, but its parent has not asked how. */
  readonly zombie: boolean;
  readonly cpu_ms: number;
}

export interface ProcessIdentity {
  readonly pid: number;
  readonly startTicks: number;
  /** The start of the machine it ran under. */
  readonly bootId: string;
}

/** Null when there is no such process. */
export function processEntry(pid: number): ProcessEntry | null {
  const text = readOrNull(`/proc/${pid}/stat`);
  if (text === null) return null;
  // "pid (any name, also with brackets) state ppid pgrp session ...", counted from 3 after the name; see proc(5).
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const field = (number: number): number => Number(fields[number - 3]);
  return {
    pid,
    parent: field(4),
    session: field(6),
    startTicks: field(22),
    zombie: fields[0] === 'Z' || fields[0] === 'X',
    cpu_ms: ((field(14) + field(15)) * 1000) / TICKS_PER_S,
  };
}

export function allProcesses(): ProcessEntry[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => processEntry(Number(name)) ?? []);
}

/** Whether exactly this process still runs. */
export function isAlive({ pid, startTicks, bootId: boot }: ProcessIdentity): boolean {
  const entry = processEntry(pid);
  return entry !== null && !entry.zombie && entry.startTicks === startTicks && boot === bootId();
}

export function identityOf(pid: number): ProcessIdentity | null {
  const entry = processEntry(pid);
  return entry === null ? null : { pid, startTicks: entry.startTicks, bootId: bootId() };
}

/** The session leader started with this environment entry: a task whose record was not written before a crash. */
export function leaderWith(environment: string): ProcessIdentity | null {
  for (const { pid, session, zombie } of allProcesses()) {
    if (pid !== session || zombie) continue;
    if (readOrNull(`/proc/${pid}/environ`)?.split('\0').includes(environment) === true)
      return identityOf(pid);
  }
  return null;
}

/** Wall clock of a process's start. */
export function startedAtMs({ startTicks }: { readonly startTicks: number }): number {
  const boot_s = Number(/^btime (\d+)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1]);
  return Math.round(boot_s * 1000 + (startTicks * 1000) / TICKS_PER_S);
}

export function residentMiB(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readOrNull(`/proc/${pid}/status`) ?? '')?.[1];
  return Number(kib ?? 0) / 1024;
}

let cachedBootId: string | undefined;

export function bootId(): string {
  cachedBootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return cachedBootId;
}

/** Entries of /proc vanish while one looks: ENOENT before the file is open, ESRCH after. */
function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES'].includes(errorCode(error) ?? '')) return null;
    throw error;
  }
}
