import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#libs/clock';
import { runtimes, type Stage, type StatusFile } from '#libs/contracts';
import type { Driver, TaskSpec } from '../drivers/driver.js';
import { SimulatedDriver, type SimulatedDriverOptions } from '../drivers/simulated/simulated.driver.js';

/** Writes what a bot says, whole, as a bot does. */
export async function say(runDir: string, status: unknown): Promise<void> {
  const out = join(runDir, 'out');
  await mkdir(out, { recursive: true });
  await writeFile(
    join(out, '.status.json.new'),
    typeof status === 'string' ? status : JSON.stringify(status),
  );
  await rename(join(out, '.status.json.new'), join(out, 'status.json'));
}

/** A status of an allocation that has reached a stage. */
export function aStatus(of: { allocation: string; epoch: number }, stage: Stage): StatusFile {
  return {
    schema: 1,
    allocation: of.allocation,
    epoch: of.epoch,
    stage,
    equity: 10_000,
    balance: 10_000,
    currency: 'EUR',
    positions: [],
    ordersToday: 0,
    controlSequence: 0,
    leaseDeadlineBoottimeMs: null,
    writtenAt: new Date().toISOString(),
    error: null,
  };
}

export interface WritingDriverOptions extends SimulatedDriverOptions {
  /** Stages a started bot says it has reached, in order. Default: all of its runtime. */
  readonly stages?: readonly Stage[];
}

/** A simulated driver whose bots read and write the run directory: what the agent does with files, without an engine. */
export function writingDriver(options: WritingDriverOptions, clock?: Clock): Driver {
  const simulated = new SimulatedDriver(options, clock);
  const start = async (task: TaskSpec) => {
    const handle = await simulated.start(task);
    for (const stage of options.stages ?? runtimes[task.runtime].stages) {
      await say(task.runDir, aStatus(task, stage));
    }
    return handle;
  };
  return new Proxy<Driver>(simulated, {
    get: (target, name) => {
      if (name === 'usesRunDir') return true;
      if (name === 'start') return start;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
