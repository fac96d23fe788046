/**
 * Lets one bootstrap work in a tree at a time. The lock is a file that names its holder by
 * pid and start time, so that a holder that died, or a pid used again, is recognised.
 */

import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { StepFailure } from './failure.mjs';

const POLL_MS = 200;
/** Another waiter may be removing the stale lock just now. */
const TAKEOVER_PAUSE_MS = 5;
/** A cold bootstrap takes about four minutes; a slow link or machine may take several times that. */
export const WAIT_MS = 30 * 60_000;
/** Taking over is a matter of microseconds: a takeover file this old was left by a crash. */
const TAKEOVER_STALE_MS = 10_000;

/**
 * @param {string} path
 * @param {{onWait: (pid: number) => void, waitMs?: number, holder?: object, isAlive?: (holder: object) => boolean}} options
 * @returns {Promise<() => void>} gives the lock back
 * @throws {StepFailure} when another bootstrap held it all the time
 */
export async function takeLock(
  path,
  { onWait, waitMs = WAIT_MS, holder = thisProcess(), isAlive = holderIsAlive },
) {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const mine = JSON.stringify({ ...holder, token: randomUUID() });
  const until = performance.now() + waitMs;
  let announced = false;
  for (;;) {
    if (createWith(path, mine)) return () => giveBack(path, mine);
    const other = readHolder(path);
    if (other !== undefined && !isAlive(other)) {
      removeStale(path, isAlive);
      await delay(TAKEOVER_PAUSE_MS);
      continue;
    }
    if (performance.now() >= until) {
      throw new StepFailure(
        `Another bootstrap (pid ${other?.pid ?? 'unknown'}) has held ${path} for too long.`,
        {
          remedy: 'Wait for it or end it, then run this again.',
        },
      );
    }
    if (!announced && other !== undefined) {
      announced = true;
      onWait(other.pid);
    }
    await delay(POLL_MS);
  }
}

function createWith(path, text) {
  let fd;
  try {
    fd = openSync(path, 'wx', 0o600);
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
  writeSync(fd, text);
  closeSync(fd);
  return true;
}

/** The holder, or undefined when the file is gone. A file without a readable holder counts once it is old. */
function readHolder(path) {
  try {
    const text = readFileSync(path, 'utf8');
    const ageMs = Date.now() - statSync(path).mtimeMs;
    try {
      return JSON.parse(text);
    } catch {
      // Between creation and writing the file is empty for a moment; later than that its writer died.
      return ageMs > TAKEOVER_STALE_MS ? { pid: 0, started: '' } : undefined;
    }
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Only one waiter may remove a stale lock: otherwise a second one could remove the first one's fresh lock. */
function removeStale(path, isAlive) {
  const takeover = `${path}.takeover`;
  if (!createWith(takeover, '')) {
    removeIfOld(takeover);
    return;
  }
  try {
    const holder = readHolder(path);
    if (holder !== undefined && !isAlive(holder)) unlinkSync(path);
  } finally {
    unlinkSync(takeover);
  }
}

function removeIfOld(path) {
  try {
    if (Date.now() - statSync(path).mtimeMs > TAKEOVER_STALE_MS) unlinkSync(path);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
}

function giveBack(path, mine) {
  try {
    if (readFileSync(path, 'utf8') !== mine) return;
    const leaving = `${path}.${process.pid}`;
    renameSync(path, leaving);
    unlinkSync(leaving);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
}

function thisProcess() {
  return { pid: process.pid, started: startOf(process.pid) };
}

/** @param {{pid: number, started: string}} holder */
export function holderIsAlive({ pid, started }) {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (error.code === 'ESRCH') return false;
    if (error.code !== 'EPERM') throw error;
  }
  return started === '' || startOf(pid) === '' || startOf(pid) === started;
}

/** Start time of a process in clock ticks since boot (field 22 of /proc/PID/stat), '' where there is no /proc. */
function startOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}
