import type { AllocationState, EndReason, ReschedulePolicy } from '#libs/contracts';
import { failuresCounted, placeAgain, withinWindow } from '#libs/policy';

/** An allocation of the bot that failed. */
export interface RecentFailure {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly host: string;
  readonly reason: EndReason | null;
}

/** What is written for a bot whose allocation ended. */
export interface BotRetry {
  /** Within the window of its policy. */
  readonly failures: number;
  /** Null: it may be placed at once, or never. */
  readonly delayMs: number | null;
  readonly gaveUp: boolean;
  /** What is remembered, the oldest first. */
  readonly recent: readonly RecentFailure[];
}

/** Failures that are remembered: more than the attempts a policy can allow. */
const remembered_max = 60;
/** A host where the bot failed is avoided for this long at least, however short the window of its policy. */
export const avoided_ms = 10 * 60_000;

/** What follows for the bot. Pure. @param chance uniform in [0, 1) */
export function followUp(
  ending: { state: AllocationState; reason: EndReason | null; asked: boolean; host: string },
  recent: readonly RecentFailure[],
  policy: ReschedulePolicy,
  now_ms: number,
  chance: number,
): BotRetry {
  const failures_ms = recent.map(({ at }) => at);
  const placing = placeAgain(ending, failures_ms, now_ms, policy, chance);
  const failed = placing.kind === 'give-up' || (placing.kind === 'later' && placing.failed);
  const kept_ms = now_ms - Math.max(policy.windowMs, avoided_ms);
  const kept = recent.filter(({ at }) => at > kept_ms);
  const { host, reason } = ending;
  return {
    failures: failed
      ? failuresCounted(failures_ms, now_ms, policy)
      : withinWindow(failures_ms, now_ms, policy.windowMs).length,
    delayMs: placing.kind === 'later' ? placing.delayMs : null,
    gaveUp: placing.kind === 'give-up',
    recent: (failed ? [...kept, { at: now_ms, host, reason }] : kept).slice(-remembered_max),
  };
}

/** Hosts where the bot failed lately, one entry for each time. Pure. */
export const hostsToAvoid = (
  recent: readonly RecentFailure[],
  policy: Pick<ReschedulePolicy, 'windowMs'>,
  now_ms: number,
): string[] =>
  recent.filter(({ at }) => at > now_ms - Math.max(policy.windowMs, avoided_ms)).map(({ host }) => host);
