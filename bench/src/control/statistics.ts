import { nearestRank } from '#libs/testing';

/** How a set of durations lies. Milliseconds; null of nothing. */
export interface Distribution {
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly max_ms: number;
}

/** Nearest-rank percentiles: each figure is one that was measured. */
export function distributionOf(durations_ms: readonly number[]): Distribution | null {
  const at = nearestRank(durations_ms);
  return durations_ms.length === 0 ? null : { p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1) };
}

export const perSecond = (count: number, elapsed_ms: number): number => (count / elapsed_ms) * 1000;
