import { availableParallelism } from 'node:os';

/** Containers a second of one round. */
export interface Round {
  readonly agent_per_s: number;
  /** By how many at a time. */
  readonly raw_per_s: Readonly<Record<string, number>>;
}

export interface StartsResult {
  /** Version of the engine. */
  readonly engine: string;
  readonly containers: number;
  readonly rounds: readonly Round[];
}

/** For people. The best parallelism of the raw side is the one with the highest median. */
export function reportOf({ engine, containers, rounds }: StartsResult): string {
  const agent = rounds.map((round) => round.agent_per_s);
  const counts = Object.keys(rounds[0]?.raw_per_s ?? {});
  const raw = counts.map((count) => ({ count, rates: rounds.map((round) => round.raw_per_s[count] ?? 0) }));
  const best = raw.reduce((a, b) => (medianOf(b.rates) > medianOf(a.rates) ? b : a));
  const ratios = rounds.map((round) => round.agent_per_s / (round.raw_per_s[best.count] ?? Infinity));
  return [
    `${containers} containers on one host, own network each; Docker Engine ${engine}, ${availableParallelism()} CPUs, ${rounds.length} rounds.`,
    '',
    row('agent', agent),
    ...raw.map(({ count, rates }) =>
      row(`raw dockerode, ${count} at a time${count === best.count ? ' (best)' : ''}`, rates),
    ),
    '',
    `  ratio of the medians ${(medianOf(agent) / medianOf(best.rates)).toFixed(3)}; by round ${ratios.map((ratio) => ratio.toFixed(3)).join(', ')}`,
  ].join('\n');
}

const row = (name: string, rates: readonly number[]): string =>
  `  ${name.padEnd(38)}${medianOf(rates).toFixed(2).padStart(8)}/s   (${Math.min(...rates).toFixed(2)} to ${Math.max(...rates).toFixed(2)})`;

/** The middle one, or between the middle two. */
export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? 0) + (sorted[Math.floor(middle)] ?? 0)) / 2;
}
