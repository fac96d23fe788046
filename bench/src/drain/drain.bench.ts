import { availableParallelism } from 'node:os';
import { testDocker, uniqueName } from '#libs/testing';
import Docker from 'dockerode';
import { progressSinceNow, unlessInterrupted } from '../bench.frame.js';
import { BenchFleet, type BenchFleetOptions } from '../control/bench.fleet.js';
import { clearEngine } from '../starts/engine.clearing.js';
import { DrainRun, type DrainResult } from './drain.run.js';
import { reportOf } from './report.js';

export interface DrainArguments {
  readonly driver: 'docker' | 'simulated';
  readonly bots: number;
  readonly rounds: number;
  readonly parallel: number;
  readonly imageMs: number;
  readonly volumeMs: number;
  readonly startMs: number;
  readonly json: boolean;
}

/** So that every host can take all bots, whatever the machine has. */
const bot_cpu_millis = 100;

/**
 * Measures the gap of each bot when its host is drained, by turns with and without its target being prepared:
 *
 *   servers and services -> bots on the first host -> drained on to the next, again and again -> everything ends
 *
 * Simulated: each round goes on to a host that has never had the image or a volume. Docker: two hosts share one
 * engine, so that image and volumes are always there.
 */
export async function drainBench(options: DrainArguments): Promise<void> {
  const { driver, bots, rounds, parallel } = options;
  const progress = progressSinceNow();
  const turns = Array.from({ length: 2 * rounds }, (_, n) => n % 2 === 0);
  const hosts = driver === 'docker' ? 2 : turns.length + 1;
  const name = uniqueName('bench');
  const fleet = new BenchFleet({
    ...{ hosts, processes: 1, profile: undefined },
    ...containersOf(options, name),
  });
  try {
    const drains = await unlessInterrupted(measure);
    const { imageMs, volumeMs, startMs } = options;
    const simulated = driver === 'simulated' ? { imageMs, volumeMs, startMs } : null;
    const result = { driver, bots, parallel, cpus: availableParallelism(), simulated, drains };
    console.log(options.json ? JSON.stringify(result, null, 2) : `\n${reportOf(result)}`);
  } catch (error) {
    const ended = fleet.ended();
    if (ended.length > 0) progress(ended.join('\n'));
    throw error;
  } finally {
    progress('everything ends');
    await fleet.stop();
    if (driver === 'docker') await clearEngine(new Docker({ socketPath: testDocker().socketPath }), name);
  }

  async function measure(): Promise<DrainResult[]> {
    progress('servers, services and agents start');
    await fleet.startServers();
    await fleet.startServices();
    const run = new DrainRun(fleet.messaging, fleet.hostNames, { bots, parallel, cpuMillis: bot_cpu_millis });
    await run.fill();
    progress(`${bots} bots run on ${run.current}`);
    const drains: DrainResult[] = [];
    for (const prepare of turns) {
      const drain = await run.drain(prepare);
      drains.push(drain);
      progress(
        `drained in ${(drain.elapsed_ms / 1000).toFixed(1)} s, ${prepare ? 'prepared' : 'unprepared'}`,
      );
    }
    return drains;
  }
}

function containersOf(
  { driver, imageMs, volumeMs, startMs, bots }: DrainArguments,
  name: string,
): Pick<BenchFleetOptions, 'start_ms' | 'preparation' | 'docker'> {
  if (driver === 'simulated')
    return { start_ms: startMs, preparation: { image_ms: imageMs, volume_ms: volumeMs } };
  const { socketPath, paperImage } = testDocker();
  if (paperImage === null) throw new Error('No paper image yet: run `node tools/bootstrap.mjs --for test`.');
  const capacityCpuMillis = (bots + 1) * bot_cpu_millis;
  return { start_ms: 0, docker: { fleet: name, socketPath, image: paperImage.ref, capacityCpuMillis } };
}
