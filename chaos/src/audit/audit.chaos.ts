import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { SystemClock } from '#libs/clock';
import { repositoryRoot } from '#libs/testing';
import { writeFileAtomically } from '../../../deploy/local/src/files.js';
import { Progress } from '../../../deploy/local/src/progress.js';
import { Interrupted } from '../chaos.run.js';
import type { AuditChaosArguments } from './arguments.js';
import { auditReportOf } from './audit.report.js';
import type { AuditChaosResult } from './audit.result.js';
import { AuditTrial } from './audit.trial.js';

/** `npm run chaos -- audit`: prints what it came to. @returns whether all held; of a self-test, whether the fault was found */
export async function auditChaos(options: AuditChaosArguments): Promise<boolean> {
  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => interrupted.abort());
  const state = resolve(repositoryRoot(), options.state);
  mkdirSync(state, { recursive: true, mode: 0o700 });
  const release = claim(join(state, 'pid'));
  const trial = new AuditTrial(options, join(state, 'run'), new Progress(process.stderr), new SystemClock());
  try {
    const result = await trial.run(interrupted.signal);
    writeFileAtomically(join(state, 'result.json'), `${JSON.stringify(result, null, 2)}\n`);
    console.log(options.json ? JSON.stringify(result, null, 2) : auditReportOf(result));
    return options.selfTest ? tellSelfTest(result) : result.failures.length === 0;
  } catch (error) {
    if (interrupted.signal.aborted) throw new Interrupted();
    throw error;
  } finally {
    release();
  }
}

/** A record was removed on purpose: both that look for every event must have seen it. */
function tellSelfTest({ failures }: AuditChaosResult): boolean {
  const compared = failures.some((failure) => failure.includes('never recorded'));
  const verified = failures.some((failure) => failure.includes('audit verify'));
  console.error(
    compared && verified
      ? 'Self-test passed: the comparison and the verification found that a record was removed.'
      : `Self-test FAILED: the comparison ${compared ? 'found' : 'did not find'} that a record was removed, the verification ${verified ? 'did' : 'did not'}.`,
  );
  return compared && verified;
}

/** A run begins by removing what is in its folder: one at a time. */
function claim(path: string): () => void {
  const holder = Number(existsSync(path) ? readFileSync(path, 'utf8') : 0);
  if (holder > 0 && isAlive(holder))
    throw new Error(`Another run (process ${holder}) uses the folder; give this one its own with --state.`);
  writeFileAtomically(path, String(process.pid));
  return () => rmSync(path, { force: true });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
