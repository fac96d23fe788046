/**
 * Runs other programs. Arguments are always a list, never a shell string. Every run has a
 * timeout, and only the end of what a program says is kept.
 */

import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { StepFailure } from './failure.mjs';

const OUTPUT_LINES_MAX = 40;
const LINE_CHARS_MAX = 2_000;
const STDOUT_BYTES_MAX = 1024 * 1024;
/** Time between asking a program that ran too long to end, and killing it. */
const KILL_GRACE_MS = 5_000;

/** Keeps the last lines of a stream of text, bounded in lines and in their length. */
export class LastLines {
  #lines = [];
  #rest = '';

  /** @param {string} text @returns {string[]} the lines this text completed */
  push(text) {
    const parts = (this.#rest + text).split(/\r?\n|\r/);
    this.#rest = parts.pop().slice(-LINE_CHARS_MAX);
    const complete = parts.map((line) => line.slice(0, LINE_CHARS_MAX)).filter((line) => line.trim() !== '');
    this.#lines.push(...complete);
    this.#lines.splice(0, Math.max(0, this.#lines.length - OUTPUT_LINES_MAX));
    return complete;
  }

  toString() {
    const lines = this.#rest.trim() === '' ? this.#lines : [...this.#lines, this.#rest];
    return lines.slice(-OUTPUT_LINES_MAX).join('\n');
  }
}

/** A program ended with another code than 0, could not be started, or ran out of time. */
export class CommandFailure extends StepFailure {
  constructor(message, { code, ...more }) {
    super(message, more);
    this.code = code;
  }
}

/**
 * Runs a program and waits for it.
 * @param {string} file
 * @param {readonly string[]} args
 * @param {{timeoutMs: number, cwd?: string, env?: NodeJS.ProcessEnv, onLine?: (line: string) => void,
 *   onStdout?: (stdout: import('node:stream').Readable) => Promise<unknown>, remedy?: string}} options
 *   `onStdout` takes the program's standard output as a stream instead of having it collected.
 * @returns {Promise<string>} standard output (at most 1 MiB of it), or '' when `onStdout` took it
 * @throws {CommandFailure} with the last 40 lines it wrote
 */
export async function run(file, args, options) {
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    // Its own process group, so that a timeout also ends what the program started itself.
    detached: true,
  });
  const last = new LastLines();
  const hear = (text) => last.push(text).forEach((line) => options.onLine?.(line));
  child.stderr.setEncoding('utf8').on('data', hear);

  let stdout = '';
  let taken = Promise.resolve();
  if (options.onStdout) {
    taken = options.onStdout(child.stdout);
  } else {
    child.stdout.setEncoding('utf8').on('data', (text) => {
      hear(text);
      if (stdout.length < STDOUT_BYTES_MAX) stdout += text;
    });
  }

  // A consumer that gives up would leave the program writing to nobody until its time is up.
  taken.catch(() => signalGroup(child, 'SIGTERM'));
  const [end, consumer] = await Promise.all([ending(child, options.timeoutMs), settled(taken)]);
  if (consumer.status === 'rejected' && consumer.reason instanceof StepFailure) throw consumer.reason;
  if (end.problem !== undefined) {
    throw new CommandFailure(`${describe(file, args)} ${end.problem}`, {
      code: end.code,
      output: last.toString(),
      remedy: options.remedy,
      cause: end.cause,
    });
  }
  if (consumer.status === 'rejected') throw consumer.reason;
  return stdout;
}

async function settled(promise) {
  const [result] = await Promise.allSettled([promise]);
  return result;
}

/** Waits for the end of a child; kills its whole group when the time is up or this process is asked to end. */
function ending(child, timeoutMs) {
  return new Promise((resolve) => {
    let late = false;
    let killTimer;
    const timer = setTimeout(() => {
      late = true;
      signalGroup(child, 'SIGTERM');
      killTimer = setTimeout(() => signalGroup(child, 'SIGKILL'), KILL_GRACE_MS);
    }, timeoutMs);
    const forward = (signal) => signalGroup(child, signal);
    process.on('SIGINT', forward).on('SIGTERM', forward);

    const finish = (end) => {
      clearTimeout(timer);
      clearTimeout(killTimer);
      process.off('SIGINT', forward).off('SIGTERM', forward);
      resolve(end);
    };
    child.once('error', (cause) => finish({ problem: `could not be started: ${cause.message}`, cause }));
    child.once('close', (code, signal) => {
      if (late) finish({ problem: `did not end within ${Math.round(timeoutMs / 1000)} s`, code });
      else if (signal) finish({ problem: `was ended by ${signal}`, code: 128 });
      else if (code !== 0) finish({ problem: `ended with code ${code}`, code });
      else finish({});
    });
  });
}

/** A child leads its own process group: what it started itself is reached as well. */
function signalGroup(child, signal) {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

function describe(file, args) {
  const words = [file, ...args].join(' ');
  return words.length > 160 ? `${words.slice(0, 157)}...` : words;
}

/**
 * Starts a program that goes on after this one has ended.
 * @param {string} file
 * @param {readonly string[]} args
 * @param {{env: NodeJS.ProcessEnv, logFd: number}} options
 * @returns {{pid: number | undefined, exitCode: () => number | null}}
 */
export function startDetached(file, args, { env, logFd }) {
  const child = spawn(file, args, { env, stdio: ['ignore', logFd, logFd], detached: true });
  let failed = null;
  child.once('error', () => (failed = 127));
  child.unref();
  return { pid: child.pid, exitCode: () => failed ?? child.exitCode };
}

/**
 * Where a program is, by PATH and then by the places that are often missing from it.
 * @param {string} name
 * @param {Readonly<Record<string, string | undefined>>} env
 * @param {readonly string[]} [more] further directories
 * @returns {string | undefined}
 */
export function which(name, env, more = []) {
  const folders = [...(env.PATH ?? '').split(delimiter), ...more].filter(isAbsolute);
  return folders.map((folder) => join(folder, name)).find(isExecutableFile);
}

/** @param {string} path */
export function isExecutableFile(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
