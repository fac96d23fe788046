import { newId } from '#libs/contracts';
import { uniqueName } from '#libs/testing';
import type { TaskSpec } from '../driver.js';

/** A valid task with unique names, one for each call. */
export function aTask(fields: Partial<TaskSpec> = {}): TaskSpec {
  return {
    allocation: newId(),
    tenant: uniqueName('tenant'),
    bot: uniqueName('bot'),
    account: uniqueName('account'),
    epoch: 1,
    host: uniqueName('host'),
    runtime: 'paper',
    version: null,
    resources: { cpuMillis: 500, memoryMiB: 64, pids: 32 },
    runDir: '/nowhere',
    stopGraceMs: 1000,
    ...fields,
  };
}
