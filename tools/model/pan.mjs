/** Checks one variant of a Promela model: spin makes a verifier in C, the compiler makes a program of it, it runs. */

import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { CommandFailure } from '../bootstrap/commands.mjs';
import { CannotInstall } from '../bootstrap/failure.mjs';

const GENERATE_TIMEOUT_MS = 60_000;
const COMPILE_TIMEOUT_MS = 3 * 60_000;
const REPLAY_TIMEOUT_MS = 60_000;
/** Steps of one path of the depth-first search. */
const DEPTH_MAX = 2_000_000;

export const REMEDY =
  'Install spin 6.5 or newer and a C compiler; on Debian: apt-get install spin gcc libc6-dev';

/**
 * @typedef {{verdict: string, states: number, depth: number, memory_mib: number, seconds: number, idle: string[]}} Result
 *   `verdict`: `holds`, the name of the assertion that failed, `stuck` (a state without a way out) or `unfinished`
 *   (not everything was looked at, `reason` says why)
 */

/** The programs that are needed. @throws {CannotInstall} when one is missing */
export function programsOn(machine) {
  const spin = machine.which('spin');
  const compiler = machine.which('cc') ?? machine.which('gcc');
  const missing = [spin ? '' : 'spin', compiler ? '' : 'a C compiler'].filter(Boolean);
  if (missing.length > 0)
    throw new CannotInstall(`The model cannot be checked: ${missing.join(' and ')} not found.`, {
      remedy: REMEDY,
    });
  return { spin, compiler };
}

/**
 * @param {ReturnType<import('../bootstrap/machine.mjs').thisMachine>} machine
 * @param {{model: string, flags: string[], search: 'exhaustive' | 'shortest', memory_mib: number, timeout_ms: number,
 *   trace?: boolean}} job `shortest` looks breadth first, so that what it finds is found by the fewest steps
 * @returns {Promise<Result & {reason?: string, trace?: string}>}
 */
export async function check(machine, { model, flags, search, memory_mib, timeout_ms, trace = false }) {
  const { spin, compiler } = programsOn(machine);
  const folder = mkdtempSync(join(tmpdir(), 'tradefleet-model-'));
  try {
    const file = basename(model);
    cpSync(model, join(folder, file));
    const here = { cwd: folder, env: machine.env };
    await machine.run(spin, ['-a', ...flags, file], { ...here, timeoutMs: GENERATE_TIMEOUT_MS });
    const how = search === 'shortest' ? ['-DBFS'] : [];
    // More than -O1 takes longer than it saves.
    const compile = [
      '-O1',
      '-w',
      '-DSAFETY',
      '-DNOCLAIM',
      `-DMEMLIM=${memory_mib}`,
      ...how,
      '-o',
      'pan',
      'pan.c',
    ];
    await machine.run(compiler, compile, { ...here, timeoutMs: COMPILE_TIMEOUT_MS });
    const startedMs = performance.now();
    const output = await runVerifier(machine, join(folder, 'pan'), { ...here, timeoutMs: timeout_ms });
    const seconds = (performance.now() - startedMs) / 1000;
    const result = { ...readVerdict(output), seconds };
    if (!trace || result.verdict === 'holds' || result.verdict === 'unfinished') return result;
    const replay = await machine.run(spin, ['-t', ...flags, file], { ...here, timeoutMs: REPLAY_TIMEOUT_MS });
    return { ...result, trace: readTrace(replay) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Its output, also when it was ended because it took too long. */
async function runVerifier(machine, pan, options) {
  const lines = [];
  try {
    await machine.run(pan, [`-m${DEPTH_MAX}`], { ...options, onLine: (line) => lines.push(line) });
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    lines.push(`unfinished: ${error.message}`);
  }
  return lines.join('\n');
}

/** What a verifier has printed, as a result. @param {string} output @returns {Omit<Result, 'seconds'> & {reason?: string}} */
export function readVerdict(output) {
  const number = (pattern) => Number(pattern.exec(output)?.[1] ?? 0);
  const found = {
    states: number(/^\s*([\d.e+]+) states, stored/m),
    depth: number(/depth reached (\d+)/),
    memory_mib: number(/^\s*([\d.]+)\s+total actual memory usage/m),
    idle: idleSteps(output),
  };
  const violated = /assertion violated\s+!\(?(\w+)\)?/.exec(output)?.[1];
  if (violated) return { verdict: violated, ...found };
  if (/invalid end state \(/.test(output)) return { verdict: 'stuck', ...found };
  const reason =
    /^unfinished: (.*)$/m.exec(output)?.[1] ??
    /^(error: max search depth too small|pan: .*(?:out of memory|reached -DMEMLIM).*|.*Search not completed.*)$/m.exec(
      output,
    )?.[1];
  if (reason !== undefined) return { verdict: 'unfinished', reason: reason.trim(), ...found };
  if (/errors: 0$/m.test(output)) return { verdict: 'holds', ...found };
  return { verdict: 'unfinished', reason: 'the verifier said nothing that is understood', ...found };
}

/** Steps that were never taken, without the ends of processes that have none. */
function idleSteps(output) {
  return [...output.matchAll(/^\s+\S+?:(\d+), state \d+, "(.*)"$/gm)]
    .filter(([, , text]) => text !== '-end-')
    .map(([, line, text]) => `line ${line}: ${text}`);
}

/** The story that `spin -t` tells, without its own remarks. @param {string} replay */
export function readTrace(replay) {
  const lines = replay.split('\n').map((line) => line.trim());
  const end = lines.findIndex((line) => line.startsWith('spin: trail ends'));
  return lines
    .slice(0, end < 0 ? lines.length : end)
    .filter((line) => line !== '' && !/^(?:spin|Never claim|using statement|starting claim)\b/.test(line))
    .join('\n');
}
