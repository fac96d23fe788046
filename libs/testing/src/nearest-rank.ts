/**
 * Percentiles by nearest rank: each answer is one of the values, whatever their order. Zero of nothing.
 * @returns takes a fraction from 0 (the least) to 1 (the greatest)
 */
export function nearestRank(values: readonly number[]): (fraction: number) => number {
  const sorted = [...values].sort((a, b) => a - b);
  return (fraction) => sorted[Math.max(0, Math.ceil(fraction * sorted.length) - 1)] ?? 0;
}
