import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { SystemClock } from '#libs/clock';
import { repositoryRoot } from '#libs/testing';
import { writeFileAtomically } from '../../deploy/local/src/files.js';
import { Progress } from '../../deploy/local/src/progress.js';
import type { ChaosArguments } from './arguments.js';
import { freeBlock, Network } from './network/network.js';
import { ChaosFleet } from './parts/chaos.fleet.js';
import { recordRun, removeAll, removeLeftovers } from './parts/leftovers.js';
import { RunPaths } from './parts/run.paths.js';
import type { ChaosResult } from './report/result.js';
import { Trial } from './trial.js';

export class Interrupted extends Error {
  constructor() {
    super('Interrupted; everything was removed.');
  }
}

const id_bytes = 2;

/**
 * Brings everything up, makes faults, judges, and removes everything, in this order and whatever happens in between.
 * @param options `state` is absolute
 */
export async function chaosRun(options: ChaosArguments): Promise<ChaosResult> {
  const progress = new Progress(process.stderr);
  const clock = new SystemClock();
  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => interrupted.abort());
  const recordPath = RunPaths.record(options.state);
  if (await removeLeftovers(recordPath)) progress.line('Removed what an earlier run had left.');
  const paths = new RunPaths(repositoryRoot(), options.state);
  const id = randomBytes(id_bytes).toString('hex');
  const hosts = Array.from({ length: options.hosts }, (_, n) => `host-${String.fromCharCode(97 + n)}`);
  const network = new Network(id, await freeBlock(), hosts);
  const record = { id, block: network.block, hosts, folders: ChaosFleet.folders(network, paths) };
  recordRun(recordPath, record);
  let failed = true;
  try {
    const trial = new Trial(options, network, paths, progress, clock);
    const result = await trial.run(interrupted.signal);
    writeFileAtomically(paths.result, `${JSON.stringify(result, null, 2)}\n`);
    failed = result.failures.length > 0;
    return result;
  } catch (error) {
    if (interrupted.signal.aborted) throw new Interrupted();
    throw error;
  } finally {
    await progress.step('remove engines, networks, folders', async () => await removeAll(record));
    if (!options.keep && !failed) paths.clear();
    rmSync(recordPath, { force: true });
    progress.line(`Logs, orders and the result: ${paths.fleet.state}`);
  }
}
