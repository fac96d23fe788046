import { readFileSync } from 'node:fs';
import { commandLineOf, processes } from './processes.js';

export interface BotProcesses {
  /** The first process of the container. */
  readonly first: number;
  readonly supervisor: number;
}

/**
 * Where the bot of an account runs on this machine, found without asking any engine: one that is stopped does not
 * answer. The newest, if there are several. Null when none runs.
 */
export function botProcesses(account: string): BotProcesses | null {
  const rows = processes();
  const found = rows.filter(({ pid, state }) => state !== 'Z' && isSupervisorOf(pid, account)).at(-1);
  return found === undefined ? null : { supervisor: found.pid, first: found.parent };
}

/** The container's host name is made of the account, and an environment tells it to every process in there. */
function isSupervisorOf(pid: number, account: string): boolean {
  // The first process has the supervisor among its arguments, too; the bot has not.
  const [program = '', ...args] = commandLineOf(pid).split(' ');
  if (!program.includes('python') || !args.some((word) => word.endsWith('supervisor.py'))) return false;
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`HOSTNAME=bot-${account}`);
  } catch {
    return false; // ended while we looked
  }
}
