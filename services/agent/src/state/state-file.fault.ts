import { StartupFault, StateUnavailable, oneLine } from '../errors.js';

/** Primary result codes of SQLite, https://www.sqlite.org/rescode.html. */
const sqlite = {
  busy: 5,
  locked: 6,
  noMemory: 7,
  ioError: 10,
  corrupt: 11,
  full: 13,
  protocol: 15,
  notDatabase: 26,
} as const;

type Code = number | string | null;
type Codes = ReadonlySet<Code>;

/** Extended result codes carry the primary one in their lowest byte. */
const primary_bits = 0xff;

const held: Codes = new Set([sqlite.busy, sqlite.locked, sqlite.protocol]);
const damaged: Codes = new Set([sqlite.corrupt, sqlite.notDatabase]);
const full: Codes = new Set([sqlite.full, 'ENOSPC', 'EDQUOT']);
/** Want of memory, of open files, or of a disk that answers: what a machine may have again in a while. */
const passing: Codes = new Set([
  ...[sqlite.ioError, sqlite.noMemory],
  ...['EIO', 'EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR', 'ETIMEDOUT', 'ESTALE'],
]);

/**
 * What it means for the agent that its state file could not be opened: a `StateUnavailable` where another start may go
 * better, a `StartupFault` where a person must act first. Both say what to do.
 */
export function stateFileFault(path: string, cause: unknown): StartupFault | StateUnavailable {
  const code = codeOf(cause);
  const why = oneLine(cause);
  if (held.has(code)) {
    return new StateUnavailable(
      `The state file ${path} is in use by another process: ${why}. An agent that is being replaced lets go of it by ` +
        'itself; otherwise end the other agent, or give this one its own state directory.',
      { cause, held: true },
    );
  }
  if (full.has(code)) {
    return new StateUnavailable(
      `The state file ${path} cannot be written: ${why}. Make room on its disk; the agent needs a few megabytes.`,
      { cause, held: false },
    );
  }
  if (passing.has(code)) {
    return new StateUnavailable(
      `The state file ${path} cannot be read or written: ${why}. Look at its disk (dmesg, SMART, the mount) and at the ` +
        'memory and open files of the machine.',
      { cause, held: false },
    );
  }
  if (damaged.has(code)) return damagedState(path, why, { cause });
  return new StartupFault(
    `The state file ${path} cannot be used: ${why}. Give the agent a state directory on a local disk that its user may write.`,
    { cause },
  );
}

/** For a file that is no whole database, whatever found it so. */
export function damagedState(path: string, why: string, options?: { cause: unknown }): StartupFault {
  return new StartupFault(
    `The state file ${path} is damaged: ${why}. Look at its disk, then move the file and those named after it (-wal, -shm) ` +
      'to another place and start the agent again: it ends the bots it finds, which are begun anew; events it had not sent ' +
      'yet are lost.',
    options,
  );
}

/** A primary result code of SQLite, an error code of the system, or null. */
function codeOf(cause: unknown): Code {
  if (typeof cause !== 'object' || cause === null) return null;
  if ('errcode' in cause && typeof cause.errcode === 'number') return cause.errcode & primary_bits;
  return 'code' in cause && typeof cause.code === 'string' ? cause.code : null;
}
