import type { Distribution } from '../control/statistics.js';

export interface VersionResult {
  readonly version: string;
  readonly state: string;
  readonly reason: string | null;
  readonly restartsPlanned: number;
  /** Bots with the same generation and the same allocations as before. */
  readonly untouched: number;
  readonly inFlightMost: number;
  /** From the request until the rollout began to go back; null when it did not. */
  readonly noticed_ms: number | null;
  /** From the request until the rollout had ended. */
  readonly elapsed_ms: number;
  /** From the end of a bot's allocation until its next one ran. */
  readonly gap: Distribution | null;
}

export interface RolloutResult {
  readonly bots: number;
  readonly hosts: number;
  readonly batch: number;
  readonly healthyMs: number;
  readonly startMs: number;
  readonly broken: VersionResult;
  readonly good: VersionResult;
  /** The broken one was reverted with all others untouched, the good one succeeded, neither exceeded its batch. */
  readonly asItShould: boolean;
}

/** For people. */
export function reportOf({
  bots,
  hosts,
  batch,
  healthyMs,
  startMs,
  broken,
  good,
  asItShould,
}: RolloutResult): string {
  return [
    `${bots} bots on ${hosts} hosts; 1 canary, batches of ${batch}, healthy after ${seconds(healthyMs)}; a simulated container starts in ${seconds(startMs)}.`,
    '',
    ...partOf(broken, bots),
    '',
    ...partOf(good, bots),
    '',
    asItShould ? 'As it should be.' : 'NOT as it should be.',
  ].join('\n');
}

const partOf = (result: VersionResult, bots: number): string[] => [
  `paper@${result.version}: ${result.state}${result.reason === null ? '' : ` (${result.reason})`}`,
  row('restarts in the plan', String(result.restartsPlanned)),
  row('untouched', `${result.untouched} of ${bots}`, 'same generation, same allocations'),
  row('most in flight', String(result.inFlightMost)),
  ...(result.noticed_ms === null ? [] : [row('started -> failure noticed', seconds(result.noticed_ms))]),
  row('started -> ended', seconds(result.elapsed_ms)),
  ...(result.gap === null
    ? []
    : [
        row(
          'gap of a bot',
          `p50 ${seconds(result.gap.p50_ms)}`,
          `p99 ${seconds(result.gap.p99_ms)}: old ended -> new running`,
        ),
      ]),
];

const row = (name: string, value: string, more = ''): string =>
  `  ${name.padEnd(30)}${value.padStart(14)}  ${more}`.trimEnd();
const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
