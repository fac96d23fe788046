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
  const sorted = [...durations_ms].sort((a, b) => a - b);
  const at = (fraction: number): number => sorted[Math.max(0, Math.ceil(fraction * sorted.length) - 1)] ?? 0;
  if (sorted.length === 0) return null;
  return { n: sorted.length, min_ms: at(0), p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1) };
}

/** What belongs together by a key, in the order in which the keys first came. */
export function grouped<T>(list: readonly T[], keyOf: (one: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of list) {
    const key = keyOf(one);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [one]);
    else group.push(one);
  }
  return groups;
}
