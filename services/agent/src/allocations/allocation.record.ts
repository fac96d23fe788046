import type { AllocationState, EndReason, Stage, StartCommand } from '#libs/contracts';
import type { Attempts } from './allocation.attempts.js';

/** The recorded wish to end an allocation; the first one counts. */
export interface StopWish {
  readonly reason: EndReason;
  /** From SIGTERM to SIGKILL; 0 kills at once. */
  readonly graceMs: number;
  readonly actor: string;
  readonly detail: string | null;
  /** When it was asked for, on CLOCK_BOOTTIME: the grace counts from here, also over a restart of the agent. */
  readonly askedBoottimeMs?: number;
}

/** What is left of the grace of a wish, milliseconds. Pure. */
export function graceLeftMs({ graceMs, askedBoottimeMs }: StopWish, boottime_ms: number): number {
  if (askedBoottimeMs === undefined) return graceMs;
  // After a boot the clock begins anew: never more than was asked for.
  return Math.min(graceMs, Math.max(0, Math.round(askedBoottimeMs + graceMs - boottime_ms)));
}

/** An allocation as this host knows it. */
export interface AllocationRecord {
  readonly id: string;
  readonly account: string;
  readonly epoch: number;
  /** What to run; null for one that was ended before it was started here. */
  readonly command: StartCommand | null;
  readonly state: AllocationState;
  /** Furthest readiness stage of the present attempt that was reported. */
  readonly stage: Stage | null;
  readonly attempts: Attempts;
  readonly reason: EndReason | null;
  readonly detail: string | null;
  readonly exitCode: number | null;
  readonly stop: StopWish | null;
  /** Trace of the command that started it. */
  readonly traceparent: string | null;
}

/** A record with something to run. */
export type StartedRecord = AllocationRecord & { readonly command: StartCommand };

export const isStarted = (record: AllocationRecord): record is StartedRecord => record.command !== null;
