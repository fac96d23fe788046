import type { EndReason, RestartPolicy } from '#libs/contracts';
import { giveUpReasons, nextTry, type NextTry } from './next-try.js';

/**
 * After these a bot is not started again in place. The first stay as they are whatever is tried here, and a broker locks
 * an account that logs in wrongly again and again; the others say that this host has no right to run it any more, or
 * that somebody wanted it to end.
 */
export const neverAgainInPlace: ReadonlySet<EndReason> = new Set([
  'login-refused',
  'bad-configuration',
  'image-missing',
  'lease-ended',
  'stale-epoch',
  'rejected',
  'account-locked',
  'asked',
  'host-lost',
  'unknown-to-host',
]);

/** How an attempt ended, and what was before; times in milliseconds on one clock. */
export interface AttemptHistory {
  readonly reason: EndReason;
  /** Another attempt on this host cannot go better, whatever the reason says. */
  readonly hopeless: boolean;
  readonly now_ms: number;
  /** When earlier attempts of the allocation had ended that were followed by another. */
  readonly restarts_ms: readonly number[];
}

/** What an agent does with a bot that ended by itself. @param chance uniform in [0, 1) */
export function restartInPlace(history: AttemptHistory, policy: RestartPolicy, chance: number): NextTry {
  if (history.hopeless || neverAgainInPlace.has(history.reason)) {
    return { kind: 'give-up', why: giveUpReasons.neverAgain };
  }
  return nextTry(history.restarts_ms, history.now_ms, policy, chance);
}
