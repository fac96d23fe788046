import type { Stage } from '#libs/contracts';
import type { TaskHandle, TaskSpec } from '../drivers/driver.js';
import type { StatusFeed } from '../run-files/status-feed.js';
import type { StartedRecord } from './allocation.record.js';

/** What a hook works with. */
export interface HookContext {
  /** The allocation as it is now. */
  readonly record: StartedRecord;
  readonly task: TaskSpec;
  readonly status: StatusFeed;
  /** When this agent started the container of the attempt, on the monotonic clock; null when another one did. */
  readonly startedMs: number | null;
  /** Aborts when the attempt is over or the allocation is to end; a hook leaves off at its next step. */
  readonly signal: AbortSignal;
  /** Writes the live lease where the container reads it. Throws AllocationFailure when there is none. */
  publishLease(): Promise<void>;
  /** The container runs. */
  started(handle: TaskHandle): Promise<void>;
  /** Stages passed, in order, the first of them `tookMs` after the one before; `ready` with the last one. */
  reached(stages: readonly Stage[], ready: boolean, tookMs: number | null): Promise<void>;
}

/**
 * One step on the way to a running bot. Idempotent: it may be repeated after a crash in any place, and is with every
 * attempt. Throws AllocationFailure when the attempt cannot go on.
 */
export interface AllocationHook {
  readonly name: string;
  /** Once done, a restarted agent need not do it again before the next boot. */
  readonly lasting: boolean;
  run(context: HookContext): Promise<void>;
}
