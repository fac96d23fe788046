import type { Stage, StartCommand } from '#libs/contracts';
import { aStartCommand } from '#libs/testing';
import type { HookContext } from '../allocations/allocation.hook.js';
import { firstAttempt } from '../allocations/allocation.attempts.js';
import type { StartedRecord } from '../allocations/allocation.record.js';
import type { TaskHandle, TaskSpec } from '../drivers/driver.js';
import { silentStatusFeed, type StatusFeed } from '../run-files/status-feed.js';

/** A record as it is when the hooks begin. */
export function aRecord(
  fields: Partial<StartedRecord> = {},
  command: StartCommand = aStartCommand(),
): StartedRecord {
  return {
    id: command.allocation,
    account: command.account,
    epoch: command.epoch,
    command,
    state: 'preparing',
    stage: null,
    attempts: firstAttempt,
    reason: null,
    detail: null,
    exitCode: null,
    stop: null,
    traceparent: null,
    ...fields,
  };
}

/** What a hook did, kept for the test to look at. */
export class RecordedContext implements HookContext {
  readonly handles: TaskHandle[] = [];
  readonly stages: Stage[] = [];
  readonly took_ms: (number | null)[] = [];
  startedMs: number | null = null;
  leasesPublished = 0;
  ready = false;
  readonly abort = new AbortController();
  readonly task: TaskSpec;

  constructor(
    public record: StartedRecord = aRecord(),
    readonly status: StatusFeed = silentStatusFeed,
    task: Partial<TaskSpec> = {},
  ) {
    const { command } = record;
    this.task = {
      allocation: record.id,
      tenant: command.tenant,
      bot: command.bot,
      account: record.account,
      epoch: record.epoch,
      host: command.host,
      runtime: command.runtime,
      version: command.version,
      resources: command.resources,
      runDir: '/nowhere',
      stopGraceMs: command.stopGraceMs,
      ...task,
    };
  }

  get signal(): AbortSignal {
    return this.abort.signal;
  }

  async publishLease(): Promise<void> {
    this.leasesPublished += 1;
  }

  async started(handle: TaskHandle): Promise<void> {
    this.handles.push(handle);
  }

  async reached(stages: readonly Stage[], ready: boolean, tookMs: number | null): Promise<void> {
    this.stages.push(...stages);
    this.took_ms.push(tookMs);
    this.record = {
      ...this.record,
      stage: stages.at(-1) ?? null,
      state: ready ? 'running' : this.record.state,
    };
    this.ready ||= ready;
  }
}
