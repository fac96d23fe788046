import type { Backoff } from '#libs/contracts';

/** How often something is tried, and how fast; times in milliseconds. */
export interface Pace {
  /** Tries within the window; null: without end. */
  readonly attempts: number | null;
  readonly windowMs: number;
  readonly delayMs: number;
  readonly backoff: Backoff;
  /** Bound of the delay before chance. */
  readonly delayMaxMs: number;
  /** Share of the delay that chance adds at most, 0 to 1. */
  readonly jitter: number;
}

/** Why something is not tried again. */
export const giveUpReasons = {
  /** Trying it again here cannot help, or must not happen. */
  neverAgain: 'never-again',
  /** The policy allows no try at all. */
  notAllowed: 'not-allowed',
  /** There were as many tries within the window as the policy allows. */
  usedUp: 'used-up',
} as const;
export type GiveUpReason = (typeof giveUpReasons)[keyof typeof giveUpReasons];

export type NextTry =
  | { readonly kind: 'again'; readonly delayMs: number }
  | { readonly kind: 'give-up'; readonly why: GiveUpReason };

/** Tries that still count at `now_ms`. On whatever clock; one that seems to lie ahead counts too. */
export const withinWindow = (tries_ms: readonly number[], now_ms: number, windowMs: number): number[] =>
  tries_ms.filter((at_ms) => at_ms > now_ms - windowMs);

/**
 * Delay before the try that follows `before` others: constant, or doubling (capped exponential backoff) up to the bound;
 * chance adds up to `jitter` of it, never takes any away, so that nothing comes sooner than was asked for. The jitter is
 * that of Nomad's restart tracker (client/allocrunner/taskrunner/restarts), with its share made a setting.
 * @param chance uniform in [0, 1)
 */
export function delayBefore(
  pace: Omit<Pace, 'attempts' | 'windowMs'>,
  before: number,
  chance: number,
): number {
  const { backoff, delayMs, delayMaxMs, jitter } = pace;
  const doublings = backoff === 'constant' ? 0 : Math.min(before, 30);
  return Math.round(Math.min(delayMs * 2 ** doublings, delayMaxMs) * (1 + jitter * chance));
}

/**
 * Whether and when to try again. The window slides: a try is forgotten once it is older than the window. (Nomad counts
 * in windows that begin anew, so that twice the attempts fit around a boundary.)
 * @param tries_ms when it was tried again before
 * @param chance uniform in [0, 1)
 */
export function nextTry(tries_ms: readonly number[], now_ms: number, pace: Pace, chance: number): NextTry {
  const before = withinWindow(tries_ms, now_ms, pace.windowMs).length;
  if (pace.attempts === 0) return { kind: 'give-up', why: giveUpReasons.notAllowed };
  if (pace.attempts !== null && before >= pace.attempts)
    return { kind: 'give-up', why: giveUpReasons.usedUp };
  return { kind: 'again', delayMs: delayBefore(pace, before, chance) };
}
