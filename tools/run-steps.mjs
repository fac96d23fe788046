import { spawn } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** Environment in which `node` is the pinned Node and the project's binaries are found first. */
export function projectEnv(extra = {}) {
  const first = [join(root, 'node_modules/node/bin'), join(root, 'node_modules/.bin')];
  return { ...process.env, ...extra, PATH: [...first, process.env.PATH].join(delimiter) };
}

/** Runs one command to its end with its output shown; resolves with its exit code. `timeout_ms` kills it. */
function run({ command, args, env, timeout_ms }) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: projectEnv(env),
    });
    const timer = setTimeout(() => {
      console.error(`${command} took longer than ${timeout_ms / 1000} s and is ended.`);
      child.kill('SIGKILL');
    }, timeout_ms);
    child.on('error', (error) => {
      clearTimeout(timer);
      console.error(`${command} cannot be run: ${error.message}`);
      resolve(127);
    });
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      resolve(code ?? (signal === null ? 1 : 128));
    });
  });
}

/**
 * Runs the steps one after the other, all of them even when one fails, and prints a table.
 * A step: {name, command, args, env?, timeout_ms}. `only` keeps the steps whose names it lists.
 * Returns whether all succeeded.
 */
export async function runSteps(steps, only) {
  const unknown = only.filter((name) => !steps.some((step) => step.name === name));
  if (unknown.length > 0) {
    console.error(`No step ${unknown.join(', ')}. There are: ${steps.map((s) => s.name).join(', ')}.`);
    return false;
  }
  const results = [];
  for (const step of steps.filter((s) => only.length === 0 || only.includes(s.name))) {
    console.log(`\n== ${step.name}`);
    const started = Date.now();
    const code = await run(step);
    results.push({ name: step.name, code, seconds: (Date.now() - started) / 1000 });
  }
  console.log('');
  for (const { name, code, seconds } of results)
    console.log(`${code === 0 ? 'ok    ' : 'FAILED'} ${name.padEnd(14)} ${seconds.toFixed(1)} s`);
  return results.every((r) => r.code === 0);
}
