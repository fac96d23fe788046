import 'reflect-metadata';
import { resolve } from 'node:path';
import { repositoryRoot } from '#libs/testing';
import { type ChaosArguments, commandLine } from './arguments.js';
import { chaosRun, Interrupted } from './chaos.run.js';
import { exit_not_possible, whyNotPossible } from './network/requirements.js';
import { reportOf } from './report/report.js';

const exit_interrupted = 130;

/** `npm run chaos`: faults from a seed against real parts, and what a broker and the databases say about it. */
async function run(options: ChaosArguments): Promise<void> {
  const why = await whyNotPossible();
  if (why !== null) {
    console.error(why);
    process.exitCode = exit_not_possible;
    return;
  }
  const result = await chaosRun({ ...options, state: resolve(repositoryRoot(), options.state) });
  console.log(options.json ? JSON.stringify(result, null, 2) : reportOf(result));
  process.exitCode = result.failures.length === 0 ? 0 : 1;
}

commandLine(run)
  .parseAsync()
  .catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = error instanceof Interrupted ? exit_interrupted : 1;
  });
