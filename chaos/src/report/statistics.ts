import { nearestRank } from '#libs/testing';

/** How a set of durations lies, milliseconds. */
export interface Distribution {
  readonly n: number;
  readonly min_ms: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly max_ms: number;
}

/** Nearest-rank percentiles: each figure is one that was measured. Null of nothing. */
export function distributionOf(durations_ms: readonly number[]): Distribution | null {
  const n = durations_ms.length;
  const at = nearestRank(durations_ms);
  return n === 0 ? null : { n, min_ms: at(0), p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1) };
}
