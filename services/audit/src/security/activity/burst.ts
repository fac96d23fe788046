/** So many within so long. */
export interface BurstRule {
  readonly threshold: number;
  readonly windowMs: number;
}

/** What is known of one who, between two looks. */
export interface BurstState {
  /** Times that may be part of a burst, in order: fewer than the threshold. Milliseconds since 1970. */
  readonly recent: readonly number[];
  /** The end of the last window that was told of; null before the first one. */
  readonly toldUntil: number | null;
}

/** A window in which there were too many; it begins with the first of them. */
export interface Burst {
  readonly from: number;
  readonly to: number;
  /** Within the window, as far as they are known. */
  readonly count: number;
}

export const quiet: BurstState = { recent: [], toldUntil: null };

/**
 * Adds the times of what happened, in whatever order, and gives the bursts that there are with them. What lies in a
 * window that was told of, or before, counts to no other one: so each window is told of once.
 */
export function addTimes(
  state: BurstState,
  times: readonly number[],
  { threshold, windowMs }: BurstRule,
): { readonly state: BurstState; readonly bursts: readonly Burst[] } {
  const bursts: Burst[] = [];
  const sorted = [...state.recent, ...times].sort((a, b) => a - b);
  let { toldUntil } = state;
  let recent: number[] = [];
  for (const [index, at] of sorted.entries()) {
    if (toldUntil !== null && at < toldUntil) continue;
    recent = [...recent.filter((earlier) => earlier > at - windowMs), at];
    const [first] = recent;
    if (recent.length < threshold || first === undefined) continue;
    toldUntil = first + windowMs;
    const until = toldUntil;
    const more = sorted.slice(index + 1).filter((later) => later < until).length;
    bursts.push({ from: first, to: until, count: recent.length + more });
    recent = [];
  }
  return { state: { recent, toldUntil }, bursts };
}
