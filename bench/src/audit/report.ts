import { medianOf } from '../starts/report.js';
import type { LatencyResult } from './latency.run.js';
import type { StepCosts } from './step.costs.js';

/** What one round gave: events or rows a second. */
export interface Round {
  readonly log_per_s: number;
  /** The committer alone: hashes, positions, tree, tiles, duplicates; no broker, no signatures. */
  readonly commit_per_s: number;
  /** By rows in a batch. */
  readonly raw_per_s: Readonly<Record<string, number>>;
  readonly toCheckpoint_ms: number;
}

export interface AuditResult {
  /** Events in a round. */
  readonly events: number;
  /** How many share a signature on average: the relay signs what waits together. */
  readonly eventsPerSignature: number;
  readonly rounds: readonly Round[];
  readonly latency: LatencyResult;
  readonly steps: StepCosts;
  /** Microseconds of CPU time for an event: of the service's rounds by process, of the raw side's what Postgres took. */
  readonly cpu_us: Readonly<Record<string, number>>;
  /** At the end: in the log, of these more than once, put aside, and covered by a signed checkpoint. */
  readonly recorded: number;
  readonly duplicates: number;
  readonly quarantined: number;
  readonly checkpointSize: number;
  readonly cpus: number;
  readonly node: string;
}

const stepNames: Readonly<Record<keyof StepCosts, string>> = {
  receive: 'receive and acknowledge',
  decode: 'check attributes and schema',
  verify: 'verify the signature',
  leaf: 'canonical line and its hash',
  tree: 'tree and tiles',
};

/** Medians over that of the raw side's, at the batch size that suits the raw side best. */
export interface Ratios {
  /** Of the whole service. */
  readonly ratio: number;
  /** Of the committer alone. */
  readonly commitRatio: number;
  readonly batch: string;
}

export function ratiosOf({ rounds }: Pick<AuditResult, 'rounds'>): Ratios {
  const batches = Object.keys(rounds[0]?.raw_per_s ?? {});
  const raw = batches.map((batch) => ({
    batch,
    median: medianOf(rounds.map((round) => round.raw_per_s[batch] ?? 0)),
  }));
  const best = raw.reduce((a, b) => (b.median > a.median ? b : a), { batch: '', median: 0 });
  return {
    ratio: medianOf(rounds.map((round) => round.log_per_s)) / best.median,
    commitRatio: medianOf(rounds.map((round) => round.commit_per_s)) / best.median,
    batch: best.batch,
  };
}

/** For people. */
export function reportOf(result: AuditResult): string {
  const { events, eventsPerSignature, rounds, latency, steps, cpu_us, recorded, duplicates, quarantined } =
    result;
  const { ratio, commitRatio, batch: best } = ratiosOf(result);
  const log = rounds.map((round) => round.log_per_s);
  const lie = latency.publishedToDurable;
  const raw_us = 1_000_000 / medianOf(rounds.map((round) => round.raw_per_s[best] ?? 0));
  return [
    `${events} events a round, ${rounds.length} rounds, one connection each; ${result.cpus} CPUs, Node ${result.node}.`,
    `${eventsPerSignature.toFixed(1)} events share a signature on average, as the relay signs them under load; each has its own in the run for latency.`,
    '',
    row('audit service', log),
    row(
      'its committer alone',
      rounds.map((round) => round.commit_per_s),
    ),
    ...Object.keys(rounds[0]?.raw_per_s ?? {}).map((batch) =>
      row(
        `raw UNNEST, ${batch} rows at a time${batch === best ? ' (best)' : ''}`,
        rounds.map((round) => round.raw_per_s[batch] ?? 0),
      ),
    ),
    '',
    `  ratio of the medians ${ratio.toFixed(3)}, of the committer alone ${commitRatio.toFixed(3)}; of the service by round ${rounds
      .map((round) => (round.log_per_s / (round.raw_per_s[best] ?? Infinity)).toFixed(3))
      .join(', ')}`,
    `  recorded ${recorded}, duplicates ${duplicates}, put aside ${quarantined}; a signed checkpoint covers ${result.checkpointSize}, ` +
      `at the latest ${Math.max(...rounds.map((round) => round.toCheckpoint_ms)).toFixed(0)} ms after the last commit of a round`,
    '',
    `  event to durable at ${latency.rate_per_s}/s, ${latency.events} events: ` +
      (lie === null
        ? '–'
        : `p50 ${lie.p50_ms.toFixed(1)} ms, p99 ${lie.p99_ms.toFixed(1)} ms, longest ${lie.max_ms.toFixed(1)} ms`),
    '',
    `  microseconds an event: ${(1_000_000 / medianOf(log)).toFixed(1)} through the service; each step by itself:`,
    ...Object.entries(steps).map(
      ([step, us]) => `    ${stepNames[step as keyof StepCosts].padEnd(34)}${us.toFixed(1).padStart(8)}`,
    ),
    `    ${'raw UNNEST'.padEnd(34)}${raw_us.toFixed(1).padStart(8)}`,
    `  CPU time an event: ${Object.entries(cpu_us)
      .map(([name, us]) => `${name} ${us.toFixed(1)}`)
      .join(', ')}`,
  ].join('\n');
}

const row = (name: string, rates: readonly number[]): string =>
  `  ${name.padEnd(38)}${medianOf(rates).toFixed(0).padStart(8)}/s   (${Math.min(...rates).toFixed(0)} to ${Math.max(...rates).toFixed(0)})`;
