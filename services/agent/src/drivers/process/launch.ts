import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { DriverError } from '../driver.js';
import { identityOf, type ProcessIdentity } from './proc-table.js';
import type { TaskLog } from './task-log.js';

export interface Launch {
  readonly pythonPath: string;
  readonly supervisorPath: string;
  readonly runDir: string;
}

/** Starts a supervisor in its own session. `onExit` gets its exit code, or 128 + n for signal n; never before the return. */
export async function launch(
  { pythonPath, supervisorPath, runDir }: Launch,
  log: TaskLog,
  onExit: (identity: ProcessIdentity, exitCode: number) => void,
): Promise<ProcessIdentity> {
  const files = log.open();
  try {
    const child = spawn(pythonPath, [supervisorPath], {
      detached: true,
      cwd: join(runDir, 'out'),
      // Nothing of the agent's own environment: it may name secrets.
      env: {
        TRADEFLEET_RUN_DIR: runDir,
        PATH: '/usr/local/bin:/usr/bin:/bin',
        LANG: 'C.UTF-8',
        PYTHONUNBUFFERED: '1',
        PYTHONDONTWRITEBYTECODE: '1',
      },
      stdio: ['ignore', files.stdout, files.stderr],
    });
    await once(child, 'spawn');
    child.unref();
    const identity = identityOf(child.pid ?? 0);
    if (identity === null) throw new Error('it ended at once');
    child.on('exit', (code, signal) =>
      onExit(identity, code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    );
    return identity;
  } catch (error) {
    const text = `${pythonPath} could not be started in ${runDir}`;
    throw new DriverError('engine-refused', text, true, { cause: error });
  } finally {
    closeSync(files.stdout);
    closeSync(files.stderr);
  }
}
