import { distributionOf } from '../control/statistics.js';
import type { DrainResult } from './drain.run.js';

export interface DrainReport {
  readonly driver: 'docker' | 'simulated';
  readonly bots: number;
  readonly parallel: number;
  readonly cpus: number;
  readonly simulated: {
    readonly imageMs: number;
    readonly volumeMs: number;
    readonly startMs: number;
  } | null;
  readonly drains: readonly DrainResult[];
}

/** For people. */
export function reportOf({ driver, bots, parallel, cpus, simulated, drains }: DrainReport): string {
  const circumstances =
    simulated === null
      ? 'Both hosts are on one Docker Engine: image and volumes are there before and after, prepared or not.'
      : `Simulated: a host without the image takes ${simulated.imageMs} ms for it, ${simulated.volumeMs} ms for a volume; a container starts in ${simulated.startMs} ms. Each drain goes to a host that has neither.`;
  return [
    `A host with ${bots} bots is drained, ${parallel} at a time; ${driver} driver, ${cpus} CPUs.`,
    circumstances,
    '',
    'Gap of a bot: from the end of the old allocation until the new one ran.',
    row('', ['p50', 'p99', 'longest', 'bots', 'prepared', 'drain took']),
    ...[true, false].map((prepare) =>
      line(
        prepare,
        drains.filter((drain) => drain.prepare === prepare),
      ),
    ),
  ].join('\n');
}

function line(prepare: boolean, drains: readonly DrainResult[]): string {
  const gaps = distributionOf(drains.flatMap(({ gaps_ms }) => gaps_ms));
  const count = drains.reduce((sum, { gaps_ms }) => sum + gaps_ms.length, 0);
  const prepared = drains.reduce((sum, drain) => sum + drain.prepared, 0);
  const took_ms = drains.reduce((sum, { elapsed_ms }) => sum + elapsed_ms, 0) / Math.max(1, drains.length);
  const figures = [gaps?.p50_ms ?? 0, gaps?.p99_ms ?? 0, gaps?.max_ms ?? 0].map(seconds);
  return row(prepare ? 'prepared before the stop' : 'stopped at once', [
    ...figures,
    String(count),
    String(prepared),
    seconds(took_ms),
  ]);
}

const row = (name: string, cells: readonly string[]): string =>
  `  ${name.padEnd(28)}${cells.map((cell) => cell.padStart(11)).join('')}`;
const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
