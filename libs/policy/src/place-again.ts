import type { AllocationState, EndReason, ReschedulePolicy } from '#libs/contracts';
import { delayBefore, nextTry, withinWindow, type Pace } from './next-try.js';

/** How an allocation ended, as far as it decides when its bot is placed again. */
export interface Ending {
  readonly state: AllocationState;
  readonly reason: EndReason | null;
  /** The scheduler wanted it to end. */
  readonly asked: boolean;
}

/** What becomes of the bot of an allocation that has ended. */
export type Placing =
  /** It may be placed now; nothing has failed. */
  | { readonly kind: 'now' }
  /** Not before `delayMs` have passed. `failed`: this counts as a failure. */
  | { readonly kind: 'later'; readonly delayMs: number; readonly failed: boolean }
  /** Not any more; this was one failure too many. */
  | { readonly kind: 'give-up' };

/** A broker locks an account that logs in wrongly again and again, and a wrong configuration stays wrong. */
export const delay_careful_ms = 60_000;
export const carefulReasons: ReadonlySet<EndReason> = new Set([
  'login-refused',
  'bad-configuration',
  'grant-refused',
]);

/**
 * What follows from an ending. What was asked for, and what a lost host took with it, is nobody's failure. Nor is what
 * a host stopped in order because it goes down itself; that waits as after a first failure, for a host that goes on
 * stopping must not make a loop without delay.
 * @param failures_ms when earlier allocations of the bot failed, on the clock of `now_ms`
 * @param chance uniform in [0, 1)
 */
export function placeAgain(
  ending: Ending,
  failures_ms: readonly number[],
  now_ms: number,
  policy: ReschedulePolicy,
  chance: number,
): Placing {
  if (ending.asked || ending.state === 'lost') return { kind: 'now' };
  const careful = ending.reason !== null && carefulReasons.has(ending.reason);
  const pace = paceOf(policy, careful);
  if (ending.state === 'stopped' && ending.reason === 'asked') {
    return { kind: 'later', delayMs: delayBefore(pace, 0, chance), failed: false };
  }
  const next = nextTry(failures_ms, now_ms, pace, chance);
  return next.kind === 'give-up'
    ? { kind: 'give-up' }
    : { kind: 'later', delayMs: next.delayMs, failed: true };
}

/** Failures that count, with the one at `now_ms`. */
export const failuresCounted = (
  failures_ms: readonly number[],
  now_ms: number,
  policy: ReschedulePolicy,
): number => withinWindow(failures_ms, now_ms, policy.windowMs).length + 1;

const paceOf = (policy: ReschedulePolicy, careful: boolean): Pace => {
  const least_ms = careful ? delay_careful_ms : 0;
  return {
    ...policy,
    backoff: 'exponential',
    delayMs: Math.max(policy.delayMs, least_ms),
    delayMaxMs: Math.max(policy.delayMaxMs, least_ms),
  };
};
