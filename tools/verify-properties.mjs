#!/usr/bin/env node
/**
 * Plays the real scheduler and agents against the property tests of proof/ for longer than the tests do, or plays a failing
 * run again: `npm run verify:properties -- --seed S --path P --steps N`.
 */

import { spawn } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { EXIT_OK, EXIT_STEP_FAILED, EXIT_USAGE } from './bootstrap/failure.mjs';
import { projectEnv, root } from './run-steps.mjs';

const HELP = `Usage: node tools/verify-properties.mjs [--seed s] [--path p] [--runs n] [--steps n] [--minutes m] [--shrink]

  --seed      of everything that is drawn; without it another one each time
  --path      the run of a seed that failed, as the failure names it
  --runs      fleets that are begun (100)
  --steps     what is done to each (50)
  --minutes   after which no further run begins (30)
  --shrink    look for the shortest sequence of steps that fails: takes many runs

Exit codes: 0 it held · 1 it did not; the last lines say how to play it again · 2 wrong usage
`;

const OPTIONS = {
  seed: { type: 'string' },
  path: { type: 'string' },
  runs: { type: 'string', default: '100' },
  steps: { type: 'string', default: '50' },
  minutes: { type: 'string', default: '30' },
  shrink: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
};

/**
 * What the spec reads. @param {readonly string[]} words @returns {Record<string, string> | null} null: help is wanted
 * @throws {TypeError} for what cannot be understood
 */
export function environmentOf(words) {
  const { values } = parseArgs({ args: [...words], options: OPTIONS, allowPositionals: false });
  if (values.help) return null;
  const whole = (name) => {
    if (!/^\d{1,10}$/.test(values[name])) throw new TypeError(`--${name} must be a whole number.`);
    return values[name];
  };
  if (values.path !== undefined && !/^\d+(:\d+)*$/.test(values.path))
    throw new TypeError('--path must be numbers with colons between them.');
  if (values.path !== undefined && values.seed === undefined)
    throw new TypeError('--path needs the --seed it belongs to.');
  return {
    PROOF_RUNS: values.path === undefined ? whole('runs') : '1',
    PROOF_STEPS: whole('steps'),
    PROOF_SECONDS: String(Number(whole('minutes')) * 60),
    ...(values.seed === undefined ? {} : { PROOF_SEED: whole('seed') }),
    ...(values.path === undefined ? {} : { PROOF_PATH: values.path }),
    ...(values.shrink ? { PROOF_SHRINK: '1' } : {}),
  };
}

/** @param {readonly string[]} words @returns {Promise<number>} the exit code */
export async function main(words) {
  let environment;
  try {
    environment = environmentOf(words);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    process.stderr.write(`${error.message}\n\n${HELP}`);
    return EXIT_USAGE;
  }
  if (environment === null) {
    process.stdout.write(HELP);
    return EXIT_OK;
  }
  const env = projectEnv({
    ...environment,
    NODE_OPTIONS: '--experimental-vm-modules --disable-warning=ExperimentalWarning',
  });
  const child = spawn('jest', ['--ci', 'proof/src/one-writer.spec.ts'], { cwd: root, env, stdio: 'inherit' });
  return await new Promise((resolve) => {
    child.on('error', (error) => {
      process.stderr.write(`jest cannot be run: ${error.message}\n`);
      resolve(EXIT_STEP_FAILED);
    });
    child.on('exit', (code) => resolve(code === 0 ? EXIT_OK : EXIT_STEP_FAILED));
  });
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = await main(process.argv.slice(2));
}
