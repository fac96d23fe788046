import type { DriverHarness, Program } from '../contract/driver.harness.js';
import { aTask } from '../contract/task.builder.js';
import type { TaskSpec } from '../driver.js';
import type { Behaviour } from './behaviour.js';
import { SimulatedDriver } from './simulated.driver.js';
import { SimulatedEngine } from './simulated.engine.js';

const behaves: Behaviour = { start_ms: 1, stop_ms: 1, obeysSigterm: true, startFault: null, exit: null };

const behaviours: Record<Program, Behaviour> = {
  runs: behaves,
  'ignores-sigterm': { ...behaves, obeysSigterm: false },
  'ends-with-3': { ...behaves, exit: { after_ms: 1, exitCode: 3, outOfMemory: false } },
};

/** Simulated tasks that behave as the contract's programs do. */
export class SimulatedHarness implements DriverHarness {
  private readonly engine = new SimulatedEngine();
  private readonly programs = new Map<string, Program>();
  private readonly drivers: SimulatedDriver[] = [];

  driver(host: string): SimulatedDriver {
    const behaviour = (task: TaskSpec): Behaviour => behaviours[this.programs.get(task.allocation) ?? 'runs'];
    const driver = new SimulatedDriver({ host, engine: this.engine, behaviour });
    this.drivers.push(driver);
    return driver;
  }

  task(program: Program, fields: Partial<TaskSpec> = {}): TaskSpec {
    const task = aTask(fields);
    this.programs.set(task.allocation, program);
    return task;
  }

  async close(): Promise<void> {
    await Promise.all(this.drivers.map((driver) => driver.close()));
  }
}
