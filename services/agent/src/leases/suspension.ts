/** One look at the clocks, milliseconds. */
export interface Look {
  readonly boottimeMs: number;
  readonly monotonicMs: number;
}

/** CLOCK_BOOTTIME is read in steps of 10 ms and nothing else sets it apart from CLOCK_MONOTONIC but sleep. */
export const suspended_ms_max = 1000;
/** A machine that is merely busy lets a timer wait for less. */
export const held_up_ms_max = 10_000;

export interface Suspension {
  /** `suspended`: the kernel slept, and knows it. `held-up`: time passed in which nothing of this process ran. */
  readonly kind: 'suspended' | 'held-up';
  readonly ms: number;
}

/**
 * Whether the machine stood still between two looks, for longer than can be overlooked (LEASES, layer 7). After a pause
 * nobody knows what a bot had just checked before it and does right after it, so a lease that spans one is over, even
 * if its deadline is not.
 *
 * A machine that is paused from outside with all of its clocks (a snapshot) cannot tell: no clock of its own has moved.
 * Pure.
 * @param planned_ms when the second look was to be, after the first
 */
export function suspensionBetween(first: Look, second: Look, planned_ms: number): Suspension | null {
  const ran_ms = second.monotonicMs - first.monotonicMs;
  const suspended_ms = second.boottimeMs - first.boottimeMs - ran_ms;
  if (suspended_ms > suspended_ms_max) return { kind: 'suspended', ms: Math.round(suspended_ms) };
  const late_ms = ran_ms - planned_ms;
  if (late_ms > held_up_ms_max) return { kind: 'held-up', ms: Math.round(late_ms) };
  return null;
}
