import type { AllocationState, EndReason } from '#libs/contracts';

/** How an allocation ended, as far as it decides when the bot is tried again. */
export interface Ending {
  readonly state: AllocationState;
  readonly reason: EndReason | null;
  /** The scheduler wanted it to end. */
  readonly asked: boolean;
  /** How long it had been running; null when it never did. */
  readonly ranForMs: number | null;
}

/** Failures so far and how long to wait before the next try; null when it may be tried at once. */
export interface Retry {
  readonly failures: number;
  readonly delayMs: number | null;
}

/** After this long in `running` what went before is forgiven. */
export const ran_well_ms = 10 * 60_000;
export const delay_first_ms = 2000;
export const delay_max_ms = 5 * 60_000;
/** A broker locks an account that logs in wrongly again and again, and a wrong configuration stays wrong. */
export const delay_careful_ms = 60_000;
export const careful_reasons: ReadonlySet<EndReason> = new Set([
  'login-refused',
  'bad-configuration',
  'grant-refused',
]);
/** Share of a delay that chance adds or takes, so that bots that failed together do not come back together. */
export const jitter_share = 0.2;

/** Delay before try number `failures` + 1: doubles from the first one up to the maximum, before chance. */
export function delayBeforeRetryMs(failures: number, reason: EndReason | null): number {
  const exponential = delay_first_ms * 2 ** Math.min(Math.max(failures, 1) - 1, 30);
  const least = reason !== null && careful_reasons.has(reason) ? delay_careful_ms : 0;
  return Math.min(Math.max(exponential, least), delay_max_ms);
}

/**
 * What follows from an ending. What was asked for, and what a lost host took with it, is nobody's failure. Nor is what
 * a host stopped in order because it goes down itself; that waits as after a first failure, for a host that goes on
 * stopping must not make a loop without delay.
 * @param failures failures before this one
 * @param chance uniform in [0, 1)
 */
export function retryAfter(ending: Ending, failures: number, chance: number): Retry {
  if (ending.asked || ending.state === 'lost') return { failures, delayMs: null };
  if (ending.state === 'stopped' && ending.reason === 'asked')
    return { failures, delayMs: withChance(delay_first_ms, chance) };
  const forgiven = ending.ranForMs !== null && ending.ranForMs >= ran_well_ms;
  const now = forgiven ? 1 : failures + 1;
  return { failures: now, delayMs: withChance(delayBeforeRetryMs(now, ending.reason), chance) };
}

const withChance = (delay_ms: number, chance: number): number =>
  Math.round(delay_ms * (1 + jitter_share * (2 * chance - 1)));
