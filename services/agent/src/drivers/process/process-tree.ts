import type { Clock } from '#libs/clock';
import { DriverError } from '../driver.js';
import { errorCode } from '../error-code.js';
import { allProcesses, bootId, processEntry, type ProcessEntry, type ProcessIdentity } from './proc-table.js';

/** From SIGKILL to dead; longer means that the kernel is stuck. */
export const KILL_MS = 15_000;
const PAUSE_MS = 10;

/**
 * Everything that belongs to a task: its leader, what shares the leader's session, and what descends from any of
 * those, also under a session of its own. Zombies are left out. Empty when the task is gone without a trace.
 */
export function membersOf(
  leader: ProcessIdentity,
  remembered: ReadonlySet<string> = new Set(),
): ProcessEntry[] {
  if (leader.bootId !== bootId()) return [];
  const holder = processEntry(leader.pid);
  // The number is not given away while a member of the session lives; another start means that none does.
  const reused = holder !== null && holder.startTicks !== leader.startTicks;
  const all = allProcesses();
  const members = new Map<number, ProcessEntry>();
  for (const entry of all) {
    const ours = !reused && entry.session === leader.pid && entry.startTicks >= leader.startTicks;
    if (ours || remembered.has(keyOf(entry))) members.set(entry.pid, entry);
  }
  for (let grown = true; grown;) {
    grown = false;
    for (const entry of all) {
      if (members.has(entry.pid) || !members.has(entry.parent)) continue;
      members.set(entry.pid, entry);
      grown = true;
    }
  }
  return [...members.values()].filter((entry) => !entry.zombie);
}

/** SIGKILLs all members once. Returns how many there were; call it again until there are none. */
export function killMembers(leader: ProcessIdentity, remembered: Set<string>): number {
  const members = membersOf(leader, remembered);
  for (const member of members) {
    // An orphan with a session of its own can be found again only by having been seen.
    remembered.add(keyOf(member));
    killIfThere(member.pid, 'SIGKILL');
  }
  return members.length;
}

/** SIGKILL until nothing of a task is left, also what its leader has left behind. Throws `engine-timeout`. */
export async function killTree(leader: ProcessIdentity, clock: Clock): Promise<void> {
  const seen = new Set<string>();
  const giveUp_ms = clock.monotonicMs() + KILL_MS;
  while (killMembers(leader, seen) > 0) {
    if (clock.monotonicMs() > giveUp_ms) {
      throw new DriverError(
        'engine-timeout',
        `process ${leader.pid} outlives SIGKILL by ${KILL_MS} ms`,
        true,
      );
    }
    await clock.sleep(PAUSE_MS);
  }
}

/** Sends a signal; nothing to do when the process has ended in between. */
export function killIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') throw error;
  }
}

const keyOf = ({ pid, startTicks }: ProcessEntry): string => `${pid}@${startTicks}`;
