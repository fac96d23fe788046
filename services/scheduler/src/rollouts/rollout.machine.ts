import type { RolloutOptions, RolloutState, RolloutTargetState } from '#libs/contracts';
import { healthOf, type BotNow } from './rollout.health.js';

export interface RolloutNow {
  readonly state: 'running' | 'paused' | 'reverting';
  readonly options: RolloutOptions;
  /** The newest batch, 0 for the canaries; null before the first. */
  readonly batch: number | null;
}

/** A bot of the rollout: what the rollout knows of it, and how it is now. */
export interface TargetNow {
  readonly bot: string;
  readonly state: RolloutTargetState;
  readonly batch: number | null;
  /** Which life of a bot of this name. */
  readonly createdAtMs: number;
  /** As planned, as changed, as changed back. */
  readonly generation: number;
  readonly changedGeneration: number | null;
  readonly revertedGeneration: number | null;
  /** When it was changed or changed back, or when the rollout was resumed. */
  readonly sinceMs: number | null;
  /** What was ready, and since when without a break. */
  readonly healthy: {
    readonly allocation: string;
    readonly attempt: number;
    readonly sinceMs: number;
  } | null;
  /** Null when it is gone. */
  readonly now: BotNow | null;
}

/** What is noted of a target; touches no bot. */
export interface Mark {
  readonly bot: string;
  readonly state: RolloutTargetState;
  readonly reason: string | null;
  readonly healthy: TargetNow['healthy'];
}

export interface Decision {
  readonly marks: readonly Mark[];
  /** Bots to give the new definition, as a new batch. */
  readonly change: { readonly batch: number; readonly bots: readonly string[] } | null;
  /** Bots to give their former definition. */
  readonly revert: readonly string[];
  /** What becomes of the rollout; null: it goes on. */
  readonly next: { readonly state: RolloutState; readonly reason: string | null } | null;
}

const leftAlone = 'Somebody else has changed it since; it is left as it is.';

/**
 * What to do next for a rollout. Pure, and takes nothing from earlier calls: whoever leads asks again with what the
 * database says, as often as they like.
 *
 *               +-- canaries --+      +-- a batch --+             until none waits
 *   running --> | change       | ---> | change      | ---> ... ------------------------> succeeded
 *      ^        | watch        |      | watch       |
 *      |        +--------------+      +-------------+     watch: every bot ready at the stage, without a break,
 *   paused             |  a canary failed,   |                   for minHealthyMs, before the next batch begins
 *   (nothing is        |  or too many bots   |
 *   changed)           v                     v
 *                   failed <-- no autoRevert or: reverting --> every changed bot changed back --> reverted
 *                      ^                                              |
 *                      +---- one of them does not come back ----------+
 *
 * Never are more bots in flight than a batch has. A bot that somebody else changed is skipped, never overwritten.
 */
export function decide(rollout: RolloutNow, targets: readonly TargetNow[], now_ms: number): Decision {
  const marked = targets.map((target) => look(rollout, target, now_ms));
  const marks = marked.flatMap(({ mark }) => (mark === null ? [] : [mark]));
  // What follows goes by the targets as they are now marked.
  const seen = marked.map(({ target, mark }) => (mark === null ? target : { ...target, ...mark }));
  const nothing = { marks, change: null, revert: [], next: null };
  switch (rollout.state) {
    case 'paused':
      return nothing;
    case 'running':
      return { ...nothing, ...goOn(rollout, seen) };
    case 'reverting':
      return { ...nothing, ...goBack(rollout, seen) };
  }
}

/** What is to be noted of one target. */
function look(
  rollout: RolloutNow,
  target: TargetNow,
  now_ms: number,
): { target: TargetNow; mark: Mark | null } {
  const { state, reason, healthy } = verdict(rollout, target, now_ms);
  const same = state === target.state && sameHealthy(healthy, target.healthy);
  return { target, mark: same ? null : { bot: target.bot, state, reason, healthy } };
}

function verdict(rollout: RolloutNow, target: TargetNow, now_ms: number): Omit<Mark, 'bot'> {
  const { state, healthy } = target;
  const stays = { state, reason: null, healthy };
  if (state === 'skipped' || state === 'reverted') return stays;
  // What was never touched needs no reason to be left alone while the rollout goes back.
  if (state === 'waiting' && rollout.state === 'reverting') return stays;
  if (!isOurs(target)) return { state: 'skipped', reason: leftAlone, healthy: null };
  switch (state) {
    case 'waiting':
    case 'failed':
      return stays;
    case 'changing':
      return watch(rollout, target, target.now, now_ms);
    case 'healthy': {
      // It may still fail before the others are done, and then says the same as one that failed at once.
      const health = healthOf(target.now, rollout.options.healthStage, null);
      return health.kind === 'failed' && rollout.state !== 'reverting'
        ? { state: 'failed', reason: health.why, healthy: null }
        : stays;
    }
    case 'reverting':
      return watchReturn(rollout, target, target.now, now_ms);
  }
}

/** Whether the bot is as the rollout has left it, or has found it when it has not touched it. */
function isOurs(target: TargetNow): target is TargetNow & { readonly now: BotNow } {
  const { now, createdAtMs, generation, changedGeneration, revertedGeneration } = target;
  const expected = revertedGeneration ?? changedGeneration ?? generation;
  return (
    now !== null &&
    now.createdAtMs === createdAtMs &&
    now.generation === expected &&
    now.desired !== 'deleted'
  );
}

function watch(
  { state, options }: RolloutNow,
  target: TargetNow,
  bot: BotNow,
  now_ms: number,
): Omit<Mark, 'bot'> {
  const health = healthOf(bot, options.healthStage, options.restartsTolerated);
  if (health.kind === 'failed') return { state: 'failed', reason: health.why, healthy: null };
  if (health.kind === 'at-rest') {
    return bot.locked
      ? { state: 'skipped', reason: 'Its account was locked, so it could not be watched.', healthy: null }
      : { state: 'healthy', reason: null, healthy: null };
  }
  const healthy = health.kind === 'ready' ? unbroken(target.healthy, health, now_ms) : null;
  if (healthy !== null && now_ms - healthy.sinceMs >= options.minHealthyMs)
    return { state: 'healthy', reason: null, healthy };
  if (state === 'running' && isOverdue(target, options, now_ms))
    return {
      state: 'failed',
      reason: `It was not healthy within ${options.progressDeadlineMs} ms.`,
      healthy: null,
    };
  return { state: 'changing', reason: null, healthy };
}

/** Since when the same attempt of the same allocation has been ready. */
function unbroken(
  before: TargetNow['healthy'],
  { allocation, attempt }: { allocation: string; attempt: number },
  now_ms: number,
): NonNullable<TargetNow['healthy']> {
  const same = before !== null && before.allocation === allocation && before.attempt === attempt;
  return same ? before : { allocation, attempt, sinceMs: now_ms };
}

/** On the way back it is enough that the bot is ready again. */
function watchReturn(
  { options }: RolloutNow,
  target: TargetNow,
  bot: BotNow,
  now_ms: number,
): Omit<Mark, 'bot'> {
  const health = healthOf(bot, options.healthStage, null);
  if (health.kind === 'ready' || health.kind === 'at-rest')
    return { state: 'reverted', reason: null, healthy: null };
  if (health.kind === 'failed')
    return { state: 'failed', reason: `It did not come back: ${health.why}`, healthy: null };
  return isOverdue(target, options, now_ms)
    ? {
        state: 'failed',
        reason: `It did not come back within ${options.progressDeadlineMs} ms.`,
        healthy: null,
      }
    : { state: 'reverting', reason: null, healthy: null };
}

const isOverdue = ({ sinceMs }: TargetNow, { progressDeadlineMs }: RolloutOptions, now_ms: number): boolean =>
  sinceMs !== null && now_ms - sinceMs >= progressDeadlineMs;

const sameHealthy = (a: TargetNow['healthy'], b: TargetNow['healthy']): boolean =>
  a?.allocation === b?.allocation && a?.attempt === b?.attempt && a?.sinceMs === b?.sinceMs;

type Step = Partial<Omit<Decision, 'marks'>>;

function goOn({ options, batch }: RolloutNow, targets: readonly TargetNow[]): Step {
  const inState = (state: RolloutTargetState): TargetNow[] => targets.filter((t) => t.state === state);
  const failed = inState('failed');
  const why = tooMany(failed, options);
  if (why !== null) return { next: { state: options.autoRevert ? 'reverting' : 'failed', reason: why } };
  if (inState('changing').length > 0) return {};

  const waiting = inState('waiting');
  if (waiting.length === 0) {
    const reason = failed.length === 0 ? null : `${failed.length} of ${targets.length} bots failed.`;
    return { next: { state: 'succeeded', reason } };
  }
  // A canary that somebody else took away is replaced: none of the others goes before a canary was healthy.
  const missing = options.canary - inState('healthy').filter((t) => t.batch === 0).length;
  const number = missing > 0 ? 0 : Math.max(batch ?? 0, 0) + 1;
  const bots = waiting.slice(0, missing > 0 ? missing : options.batchSize).map((t) => t.bot);
  return { change: { batch: number, bots } };
}

/** Why the rollout has failed, or null. Of canaries none may fail. */
function tooMany(failed: readonly TargetNow[], options: RolloutOptions): string | null {
  const canary = failed.find((target) => target.batch === 0);
  if (canary !== undefined) return `The canary ${canary.bot} failed.`;
  if (failed.length <= options.failuresTolerated) return null;
  const names = failed.slice(0, 3).map((target) => target.bot);
  const more = failed.length > names.length ? ` and ${failed.length - names.length} more` : '';
  return `Failed: ${names.join(', ')}${more}.`;
}

function goBack({ options }: RolloutNow, targets: readonly TargetNow[]): Step {
  const candidates = targets.filter(isChangedStill);
  const inFlight = targets.filter((t) => t.state === 'reverting' || t.state === 'changing').length;
  // One that is in flight already is down anyway; of the others as many as a batch has room for, failed ones first.
  const down = candidates.filter((t) => t.state === 'changing');
  const bad = candidates.filter((t) => t.state === 'failed' || t.state === 'skipped');
  const good = candidates.filter((t) => t.state === 'healthy').reverse();
  const room = Math.max(0, options.batchSize - inFlight);
  const revert = [...down, ...[...bad, ...good].slice(0, room)].map((t) => t.bot);
  if (revert.length > 0 || inFlight > 0) return { revert };
  const lost = targets.filter((t) => t.state === 'failed' && t.revertedGeneration !== null);
  return lost.length === 0
    ? { next: { state: 'reverted', reason: null } }
    : {
        next: { state: 'failed', reason: `${lost.length} bots did not come back after they were reverted.` },
      };
}

/** The rollout has changed it, has not changed it back, and nobody else has changed it since. */
const isChangedStill = (target: TargetNow): boolean =>
  target.changedGeneration !== null && target.revertedGeneration === null && isOurs(target);
