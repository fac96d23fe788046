import { availableParallelism } from 'node:os';
import { progressSinceNow, unlessInterrupted } from '../bench.frame.js';
import { AllocationsRun } from './allocations.run.js';
import { type Baselines, measureBaselines } from './baselines.js';
import { BenchFleet } from './bench.fleet.js';
import type { Cost } from '../process.cost.js';
import { type ControlResult, reportOf } from './report.js';

export interface ControlArguments {
  readonly bots: number;
  readonly hosts: number;
  readonly processes: number;
  readonly by: 'fleet.apply' | 'bots.create';
  readonly startMs: number;
  readonly seconds: number;
  readonly baselineMs: number;
  readonly profile?: string;
  readonly json: boolean;
}

/** Enough for compilers and pools to be warm. */
const warm_up_bots = 200;

/**
 * Measures commands accepted -> allocations running on the real servers and services:
 *
 *   servers -> baselines -> scheduler, audit, agents -> warm-up, taken away again -> the run -> everything ends
 */
export async function controlBench(options: ControlArguments): Promise<void> {
  const { bots, hosts, processes, by, startMs, seconds, profile } = options;
  const progress = progressSinceNow();
  const fleet = new BenchFleet({ hosts, processes, start_ms: startMs, profile });
  try {
    const result = await unlessInterrupted(measure);
    console.log(options.json ? JSON.stringify(result, null, 2) : `\n${reportOf(result)}`);
  } catch (error) {
    const ended = fleet.ended();
    if (ended.length > 0) progress(ended.join('\n'));
    throw error;
  } finally {
    progress('everything ends');
    await fleet.stop();
  }

  async function measure(): Promise<ControlResult> {
    progress('NATS and Postgres start');
    await fleet.startServers();
    const baselines = await measureBaselines(
      fleet.messaging,
      fleet.databaseUrl('bench'),
      options.baselineMs,
      (what) => progress(`baseline: ${what}`),
    );
    progress(`scheduler, audit and ${hosts} agents start`);
    await fleet.startServices();
    const runOptions = { by, seconds, progress };
    progress(`warm-up with ${Math.min(warm_up_bots, bots)} bots`);
    const warmUp = new AllocationsRun(fleet.messaging, 'warm-up', {
      ...runOptions,
      bots: Math.min(warm_up_bots, bots),
    });
    await warmUp.measure();
    await warmUp.remove();
    progress(`${bots} bots`);
    const run = new AllocationsRun(fleet.messaging, 'bench', { ...runOptions, bots });
    const before = fleet.costs();
    const measured = await run.measure();
    return {
      ...{ hosts, by, simulatedStart_ms: startMs, node: process.version, cpus: availableParallelism() },
      ...{ run: measured, baselines, ratios: ratiosOf(measured.allocations_per_s, baselines) },
      costs: differenceOf(before, fleet.costs()),
    };
  }
}

function ratiosOf(allocations_per_s: number, baselines: Baselines): ControlResult['ratios'] {
  const entries = Object.entries(baselines).map(([key, per_s]) => [key, allocations_per_s / Number(per_s)]);
  return Object.fromEntries(entries) as ControlResult['ratios'];
}

function differenceOf(
  before: ReadonlyMap<string, Cost>,
  after: ReadonlyMap<string, Cost>,
): Record<string, Cost> {
  return Object.fromEntries(
    [...after].map(([name, cost]) => [
      name,
      { ...cost, cpu_ms: cost.cpu_ms - (before.get(name)?.cpu_ms ?? 0) },
    ]),
  );
}
