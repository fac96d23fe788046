import { readBootstrapRecord, uniqueName } from '#libs/testing';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NotedLog, type DriverHarness, type Program } from '../contract/driver.harness.js';
import { PROGRAM, programs, runDirWith } from '../contract/programs.js';
import { aTask } from '../contract/task.builder.js';
import type { TaskSpec } from '../driver.js';
import { ProcessDriver, type ProcessDriverOptions } from './process.driver.js';

/** Real processes, with a launcher in place of the supervisor that runs `program.py` of the run directory. */
export class ProcessHarness implements DriverHarness {
  readonly stateDir = mkdtempSync(join(tmpdir(), 'tradefleet-state-'));
  readonly log = new NotedLog();
  readonly pythonPath = readBootstrapRecord()?.python?.path ?? '/usr/bin/python3';
  private readonly fleet = uniqueName('fleet');
  private readonly drivers: ProcessDriver[] = [];
  private readonly hosts = new Set<string>();
  private readonly runDirs: string[] = [];
  private readonly launcher = join(this.stateDir, 'launcher.py');

  constructor() {
    const launcher = `import os, runpy\nrunpy.run_path(os.path.join(os.environ["TRADEFLEET_RUN_DIR"], "${PROGRAM}"))\n`;
    writeFileSync(this.launcher, launcher);
  }

  driver(host: string, more: Partial<ProcessDriverOptions> = {}): ProcessDriver {
    const { fleet, stateDir, pythonPath, launcher: supervisorPath } = this;
    const driver = new ProcessDriver(
      { fleet, host, stateDir, pythonPath, supervisorPath, ...more },
      this.log,
    );
    this.drivers.push(driver);
    this.hosts.add(host);
    return driver;
  }

  task(program: Program, fields: Partial<TaskSpec> = {}): TaskSpec {
    return this.taskRunning(programs[program], fields);
  }

  /** A task whose bot is the given Python program. */
  taskRunning(program: string, fields: Partial<TaskSpec> = {}): TaskSpec {
    const runDir = runDirWith(program);
    this.runDirs.push(runDir);
    return aTask({ runDir, ...fields });
  }

  async close(): Promise<void> {
    await Promise.all(this.drivers.map((driver) => driver.close()));
    for (const host of this.hosts) {
      const last = this.driver(host);
      const { handles } = await last.recover();
      for (const handle of handles) await last.destroy(handle);
      await last.close();
    }
    for (const dir of [...this.runDirs, this.stateDir]) rmSync(dir, { recursive: true, force: true });
  }
}
