import { movesForward, type AllocationState, type EndReason } from '#libs/contracts';
import { reasonOfExit } from '../allocations/exit-reason.js';
import type { AllocationRecord } from '../allocations/allocation.record.js';
import type { TaskHandle, TaskStatus } from '../drivers/driver.js';

/** What the agent finds of one allocation when it starts. */
export interface Found {
  /** What it has written down; null: nothing. */
  readonly record: AllocationRecord | null;
  /** The container with the allocation's labels; null: none. */
  readonly container: { readonly handle: TaskHandle; readonly status: TaskStatus } | null;
  /** Milliseconds left of the lease the container goes by; null: none that can be read. */
  readonly leaseLeft_ms: number | null;
}

export type Verdict =
  /** Its container lives under a live lease: go on with it, in this state. */
  | { readonly kind: 'adopt'; readonly state: AllocationState }
  /** Nothing of it has run yet: go on preparing. */
  | { readonly kind: 'resume' }
  /** It is over, or must be: kill what runs, remove what is left, tell the end. */
  | {
      readonly kind: 'end';
      readonly reason: EndReason;
      readonly detail: string;
      readonly exitCode: number | null;
      /** Its lease lives: its bot may be begun again in place, as its policy says. */
      readonly leaseLives: boolean;
    }
  /** It has ended before, or nobody here knows it: remove the container; `tell` where nobody was told. */
  | { readonly kind: 'remove'; readonly tell: boolean };

const end = (
  reason: EndReason,
  detail: string,
  { exitCode = null, leaseLives = false }: { exitCode?: number | null; leaseLives?: boolean } = {},
): Verdict => ({ kind: 'end', reason, detail, exitCode, leaseLives });

/**
 * Adopt or kill, for one allocation:
 *
 *   no record ............................. remove, and tell
 *   ended ................................. remove
 *   another epoch on the container ........ end: stale-epoch
 *   an attempt waited for ................. resume; what is left of the one before goes first
 *   never started, no or unstarted container: resume
 *   started, container gone ............... end: exited
 *   container exited ...................... end: by its exit code; without one, by its lease
 *   container runs, lease live ............ adopt
 *   container runs, no live lease ......... end: lease-ended
 *
 * A container that runs without a live lease is killed even though a new lease might be had: its account may have
 * been given away, and the supervisor in it, which should have ended it, has failed. Pure.
 */
export function adoptionVerdict({ record, container, leaseLeft_ms }: Found): Verdict {
  if (record === null) return { kind: 'remove', tell: true };
  if (record.command === null) return { kind: 'remove', tell: false };
  if (container !== null && container.handle.epoch !== record.epoch) {
    return end('stale-epoch', 'Its container was made for another epoch.');
  }
  if (record.attempts.dueBoottimeMs !== null) return { kind: 'resume' };
  const leaseLives = leaseLeft_ms !== null && leaseLeft_ms > 0;
  const unstarted = movesForward(record.state, 'starting');
  const state = container?.status.state ?? 'missing';
  if (state === 'missing' || state === 'created') {
    const detail = 'Its container was gone when the agent came back.';
    return unstarted ? { kind: 'resume' } : end('exited', detail, { leaseLives });
  }
  if (state === 'exited') {
    const exitCode = container?.status.exitCode ?? null;
    const outOfMemory = container?.status.outOfMemory ?? false;
    if (exitCode === null && leaseLeft_ms !== null && leaseLeft_ms <= 0) {
      return end('lease-ended', 'Its lease ended while the agent was away.');
    }
    const { reason, detail } = reasonOfExit({ exitCode, outOfMemory, unknown: false });
    return end(reason, `${detail} The agent was away.`, { exitCode, leaseLives });
  }
  if (!leaseLives) {
    return end('lease-ended', 'It ran without a live lease when the agent came back.');
  }
  return { kind: 'adopt', state: unstarted ? 'starting' : record.state };
}
