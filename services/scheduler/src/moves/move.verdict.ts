import type { MoveStanding } from './move.rows.js';

/** What is known besides the database. */
export interface MoveCircumstances {
  readonly now: Date;
  /** The target was heard of lately enough to be given more to do. */
  readonly targetHeard: boolean;
  /** The target has room for all that is held on it, this bot included. */
  readonly targetFits: boolean;
  /** As many moves are under way to this target as may be. */
  readonly targetBusy: boolean;
  /** After so long without a word of it a target is asked again. */
  readonly askAgainMs: number;
}

export type MoveVerdict =
  | { readonly next: 'wait' }
  | { readonly next: 'prepare' }
  | { readonly next: 'ask-again' }
  | { readonly next: 'switch'; readonly detail: string | null }
  | { readonly next: 'done'; readonly to: string; readonly gapMs: number }
  | { readonly next: 'cancelled'; readonly detail: string }
  /** `unprepared`: the target did not get ready; another one may. */
  | { readonly next: 'failed'; readonly detail: string; readonly failure: 'timeout' | 'target' | 'switch' };

/**
 * Longest a move waits for its bot to run again. A bot that does not come up anywhere is tried on by placement; it
 * must not keep others from being moved.
 */
export const switching_ms_max = 15 * 60_000;

/** A target is asked to prepare once, and again so many times at most. */
const asked_again_max = 12;
const ask_again_ms_min = 10_000;

/** How long to wait for a target before it is asked again, of the time that it has in all. */
export const askAgainMsOf = (prepare_ms: number): number =>
  Math.max(ask_again_ms_min, prepare_ms / asked_again_max);

/**
 * How a move goes on. Pure: everything is read again before, so the same facts lead to the same step whoever leads.
 *
 *                 room on the target          image and volume          the old one is told to stop,
 *                 is held                     are ready there           then placement takes the room
 *      ┌─────────┐  prepare  ┌───────────┐  ready  ┌──────────┐  switch  ┌───────────┐  runs  ┌──────┐
 *  ──▶ │ planned │ ────────▶ │ preparing │ ──────▶ │ prepared │ ───────▶ │ switching │ ─────▶ │ done │
 *      └─────────┘           └───────────┘         └──────────┘          └───────────┘        └──────┘
 *        │  │  └─── not to be prepared, or the drain's time is up ───────────▲  │
 *        │  └─ no longer wanted, or ended by others ─▶ cancelled ◀──────────────┤
 *        └──── the target is gone, full, or not ready in time ─▶ failed ◀───────┘ (does not run anywhere in time)
 *
 * Up to `prepared` nothing has happened to the bot: whatever is wrong, it goes on trading where it is.
 */
export function verdictOf(move: MoveStanding, circumstances: MoveCircumstances): MoveVerdict {
  const unwanted = whyUnwanted(move);
  if (move.state === 'switching') return switching(move, unwanted, circumstances.now);
  if (unwanted !== null) return { next: 'cancelled', detail: unwanted };
  if (move.oldEndedAt !== null || move.oldTold)
    return { next: 'cancelled', detail: `The bot ended on ${move.from} before it was moved.` };
  if (move.reason === 'drain' && !move.draining) return { next: 'cancelled', detail: 'The drain was ended.' };
  const trouble = troubleOf(move, circumstances);
  if (trouble !== null) return { next: 'failed', detail: trouble, failure: 'target' };
  return onward(move, circumstances);
}

function onward(move: MoveStanding, { now, targetBusy, askAgainMs }: MoveCircumstances): MoveVerdict {
  if (move.state === 'prepared') return { next: 'switch', detail: null };
  if (!move.prepare) return { next: 'switch', detail: null };
  if (isOverdue(move, now))
    return { next: 'switch', detail: 'The time of the drain was up before the target was ready.' };
  if (move.state === 'planned') return targetBusy ? { next: 'wait' } : { next: 'prepare' };
  if (move.prepareBy !== null && now >= move.prepareBy)
    return { next: 'failed', detail: `${move.to} did not get ready in time.`, failure: 'timeout' };
  // The command or its answer may have been lost.
  return now.getTime() - move.updatedAt.getTime() >= askAgainMs ? { next: 'ask-again' } : { next: 'wait' };
}

/** The old one was told to stop, which nothing takes back; the new one runs where placement puts it. */
function switching(move: MoveStanding, unwanted: string | null, now: Date): MoveVerdict {
  const { oldEndedAt, newRunningAt, newHost, switchedAt } = move;
  if (newRunningAt !== null && newHost !== null && oldEndedAt !== null) {
    const gapMs = Math.max(0, newRunningAt.getTime() - oldEndedAt.getTime());
    return { next: 'done', to: newHost, gapMs };
  }
  if (unwanted !== null) return { next: 'cancelled', detail: unwanted };
  if (switchedAt !== null && now.getTime() - switchedAt.getTime() >= switching_ms_max)
    return { next: 'failed', detail: 'The bot has not run again; it is tried on.', failure: 'switch' };
  return { next: 'wait' };
}

function whyUnwanted({ desired, locked }: MoveStanding): string | null {
  if (desired !== 'running') return 'The bot should not run any more.';
  return locked ? 'The account is locked.' : null;
}

/** Why the bot cannot go to the target now. The reservation keeps its room, but a host may shrink or be taken away. */
function troubleOf(
  { targetState, to }: MoveStanding,
  { targetHeard, targetFits }: MoveCircumstances,
): string | null {
  if (targetState !== 'ready') return `${to} is ${targetState ?? 'gone'}.`;
  if (!targetHeard) return `${to} was not heard of lately.`;
  return targetFits ? null : `${to} has no room for it any more.`;
}

const isOverdue = ({ reason, deadlineAt, onDeadline }: MoveStanding, now: Date): boolean =>
  reason === 'drain' && onDeadline === 'stop' && deadlineAt !== null && now >= deadlineAt;
