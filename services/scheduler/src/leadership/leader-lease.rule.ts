import type { Clock } from '#libs/clock';

/**
 * The lease of the leader (LEASES.md), as pure arithmetic.
 *
 *   leader     t_send of the last renewal that was written ---------- t_send + L    answers nothing any more
 *   candidate           t_seen ---------------------------------- t_seen + L(1+rho) + margin    may take over
 *
 * `t_seen` is when the candidate *had* the answer of its first look at that renewal: after it was written, so after it
 * was sent. L of a slow clock is at most L(1+rho) of a fast one, so the second moment always comes after the first.
 *
 * Which clock: whoever must stop counts on the one that goes further, whoever must wait on the one that falls behind.
 * A machine that was suspended finds CLOCK_BOOTTIME moved and CLOCK_MONOTONIC not. So the leader's lease is over when
 * either says so, and a candidate waits on the monotonic clock alone.
 */
export interface LeaderTerms {
  /** L */
  readonly leaderLeaseMs: number;
  /** rho */
  readonly leaseClockDrift: number;
  readonly leaderTakeoverMarginMs: number;
}

/** How long a candidate must have seen the row unchanged before it may take over. */
export const takeoverWaitMs = (terms: LeaderTerms): number =>
  Math.ceil(terms.leaderLeaseMs * (1 + terms.leaseClockDrift) + terms.leaderTakeoverMarginMs);

/** A moment on both clocks of this process. */
export interface Moment {
  readonly monotonicMs: number;
  readonly boottimeMs: number;
}

export const momentOf = (clock: Clock): Moment => ({
  monotonicMs: clock.monotonicMs(),
  boottimeMs: clock.boottimeMs(),
});

/** CLOCK_BOOTTIME is read in steps of 10 ms, rounded down: the true time may be this much later. */
const boottime_step_ms = 10;

/** Milliseconds left of a lease whose last renewal was sent at `sent`; zero or less when it is over. */
export function leaderLeaseLeftMs(terms: LeaderTerms, sent: Moment, now: Moment): number {
  const elapsed_ms = Math.max(
    now.monotonicMs - sent.monotonicMs,
    now.boottimeMs + boottime_step_ms - sent.boottimeMs,
  );
  return terms.leaderLeaseMs - elapsed_ms;
}
