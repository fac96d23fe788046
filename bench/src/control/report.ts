import type { RunResult } from './allocations.run.js';
import type { Baselines } from './baselines.js';
import type { Cost } from '../process.cost.js';

export interface ControlResult {
  readonly hosts: number;
  readonly by: string;
  readonly simulatedStart_ms: number;
  readonly node: string;
  readonly cpus: number;
  readonly run: RunResult;
  readonly baselines: Baselines;
  /** Allocations a second, as a part of each baseline. */
  readonly ratios: Readonly<Record<keyof Baselines, number>>;
  /** While the bots came up: CPU time of each part, and its memory afterwards. */
  readonly costs: Readonly<Record<string, Cost>>;
}

/** For people. */
export function reportOf({
  hosts,
  by,
  simulatedStart_ms,
  run,
  baselines,
  ratios,
  costs,
  cpus,
}: ControlResult): string {
  const { acceptedToRunning: latency } = run;
  const lines = [
    `${run.bots} bots on ${hosts} hosts by ${by}; a simulated container starts in ${simulatedStart_ms} ms; ${cpus} CPUs.`,
    '',
    row('allocations running', `${rate(run.allocations_per_s)}/s`, `all in ${seconds(run.elapsed_ms)}`),
    row('accepted', `in ${seconds(run.accepting_ms)}`),
    ...(latency === null
      ? []
      : [
          row(
            'accepted -> running',
            `p50 ${seconds(latency.p50_ms)}`,
            `p99 ${seconds(latency.p99_ms)}, longest ${seconds(latency.max_ms)}`,
          ),
        ]),
    row('events for each', run.eventsPerAllocation.toFixed(1)),
    '',
    'Baselines of the same servers, measured before, with nothing else running:',
    ...baselineNames.map(([key, name]) =>
      row(name, `${rate(baselines[key])}/s`, `allocations reach ${(ratios[key] * 100).toFixed(1)} % of it`),
    ),
    '',
    'CPU time while the bots came up, and memory (PSS) after:',
    ...Object.entries(costs).map(([name, { cpu_ms, pss_mib }]) =>
      row(
        name,
        seconds(cpu_ms),
        `${(cpu_ms / run.bots).toFixed(2)} ms for each allocation, ${pss_mib.toFixed(0)} MiB`,
      ),
    ),
  ];
  return lines.join('\n');
}

const baselineNames: readonly (readonly [keyof Baselines, string])[] = [
  ['publishOneByOne_per_s', 'JetStream publish, one by one'],
  ['publishWindowed_per_s', 'JetStream publish, windowed'],
  ['commitOneConnection_per_s', 'Postgres commit, 1 connection'],
  ['commitEightConnections_per_s', 'Postgres commits, 8 connections'],
];

const row = (name: string, value: string, more = ''): string =>
  `  ${name.padEnd(34)}${value.padStart(12)}  ${more}`.trimEnd();
const rate = (per_s: number): string => per_s.toFixed(per_s < 100 ? 1 : 0);
const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
