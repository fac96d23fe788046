#!/usr/bin/env node
/**
 * Makes a machine ready for Tradefleet: packages, build, nats-server, Docker, images, Python.
 * Uses Node's builtins only, because it runs before any package is installed.
 * The steps are in tools/bootstrap/, one file each; steps.mjs has their order.
 */

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HELP, readArguments } from './bootstrap/arguments.mjs';
import { EXIT_OK, EXIT_STEP_FAILED, EXIT_USAGE, StepFailure, UsageFailure } from './bootstrap/failure.mjs';
import { takeLock } from './bootstrap/lock.mjs';
import { thisMachine } from './bootstrap/machine.mjs';
import { readRecord, writeRecord } from './bootstrap/record.mjs';
import { inSeconds, Reporter } from './bootstrap/reporter.mjs';
import { stepsFor } from './bootstrap/steps.mjs';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const NODE_MAJOR_LEAST = 20;

process.exitCode = await main(process.argv.slice(2));

/** @param {readonly string[]} words @returns {Promise<number>} the exit code */
async function main(words) {
  let options;
  try {
    options = readArguments(words, process.env);
  } catch (error) {
    if (!(error instanceof UsageFailure)) throw error;
    process.stderr.write(`${error.message}\n\n${HELP}`);
    return EXIT_USAGE;
  }
  if (options.help) {
    process.stdout.write(HELP);
    return EXIT_OK;
  }
  if (Number(process.versions.node.split('.')[0]) < NODE_MAJOR_LEAST) {
    process.stderr.write(
      `Node ${process.versions.node} is too old: install Node ${NODE_MAJOR_LEAST} or newer.\n`,
    );
    return EXIT_USAGE;
  }
  return bootstrap(options);
}

async function bootstrap(options) {
  const reporter = new Reporter(process.stderr);
  const startedMs = performance.now();
  const outcome = { schema: 1, ok: false, for: options.purpose, driver: options.driver, steps: [] };
  let giveBack;
  let exitCode = EXIT_OK;
  try {
    giveBack = await takeLock(join(ROOT, '.tradefleet', 'bootstrap.lock'), {
      onWait: (pid) => reporter.line(`Another bootstrap (pid ${pid}) is at work here; waiting for it ...`),
    });
    const context = { root: ROOT, machine: thisMachine(), reporter, options, record: readRecord(ROOT) };
    // The record tells its readers what they may use, so an engine of an earlier run does not stay in it.
    if (options.driver === 'process')
      Object.assign(context.record, { docker: null, images: { paper: null } });
    await runSteps(context, outcome);
    outcome.ok = true;
    outcome.record = context.record;
    reporter.line(`Ready in ${inSeconds(performance.now() - startedMs)}.`);
  } catch (error) {
    exitCode = error.exitCode ?? EXIT_STEP_FAILED;
    outcome.error = { message: error.message, remedy: error.remedy ?? null };
    explain(reporter, error);
  } finally {
    giveBack?.();
  }
  if (options.json) process.stdout.write(`${JSON.stringify(outcome)}\n`);
  return exitCode;
}

async function runSteps(context, outcome) {
  for (const step of stepsFor(context.options)) {
    const startedMs = performance.now();
    const seconds = () => Number(((performance.now() - startedMs) / 1000).toFixed(2));
    context.reporter.begin(step.name);
    try {
      const detail = await step.run(context);
      context.reporter.end('done', detail);
      outcome.steps.push({ name: step.name, state: 'done', detail, seconds: seconds() });
      // After every step, so that what is done is known even when a later step fails.
      writeRecord(context.root, context.record);
    } catch (error) {
      context.reporter.end('failed', 'failed');
      outcome.steps.push({ name: step.name, state: 'failed', detail: error.message, seconds: seconds() });
      throw error;
    }
  }
}

function explain(reporter, error) {
  reporter.line('');
  reporter.line(error.message);
  if (error.output) reporter.line(error.output.replaceAll(/^/gm, '  | '));
  if (error.remedy) reporter.line(`\n${error.remedy}`);
  if (!(error instanceof StepFailure)) reporter.line(error.stack);
  reporter.line('\ndocs/INSTALLATION.md has each step by hand and the known problems.');
}
