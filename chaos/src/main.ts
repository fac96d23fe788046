import 'reflect-metadata';
import { resolve } from 'node:path';
import { repositoryRoot } from '#libs/testing';
import { auditChaos } from './audit/audit.chaos.js';
import { type ChaosArguments, commandLine } from './arguments.js';
import { chaosRun, Interrupted } from './chaos.run.js';
import { exit_not_possible, whyNotPossible } from './network/requirements.js';
import { reportOf } from './report/report.js';
import type { ChaosResult } from './report/result.js';

const exit_interrupted = 130;

/** `npm run chaos`: faults from a seed against real parts, and what a broker and the databases say about it. */
async function run(options: ChaosArguments): Promise<void> {
  const why = await whyNotPossible();
  if (why !== null) {
    const passedOver = options.optional && (process.env['CI'] ?? '') === '';
    console.error(passedOver ? `Passed over, nothing was proved: ${why}` : why);
    process.exitCode = passedOver ? 0 : exit_not_possible;
    return;
  }
  const result = await chaosRun({ ...options, state: resolve(repositoryRoot(), options.state) });
  console.log(options.json ? JSON.stringify(result, null, 2) : reportOf(result));
  if (options.selfTest) process.exitCode = tellSelfTest(result) ? 0 : 1;
  else process.exitCode = result.failures.length === 0 ? 0 : 1;
}

/** The rules were broken on purpose: both that watch them must have seen it. */
function tellSelfTest({ overlaps, rules }: ChaosResult): boolean {
  const found = overlaps > 0 && (rules?.broken.length ?? 0) > 0;
  console.error(
    found
      ? `Self-test passed: ${overlaps} overlaps and ${rules?.broken.length ?? 0} waits too short were found.`
      : 'Self-test FAILED: the rules were broken, and this was not found.',
  );
  return found;
}

commandLine(run, async (options) => {
  process.exitCode = (await auditChaos(options)) ? 0 : 1;
})
  .parseAsync()
  .catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = error instanceof Interrupted ? exit_interrupted : 1;
  });
