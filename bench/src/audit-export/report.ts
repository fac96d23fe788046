import type { ExportRun } from './export.runs.js';

export interface ExportResult {
  readonly events: number;
  readonly filled_per_s: number;
  readonly runs: readonly ExportRun[];
  readonly cpus: number;
  readonly node: string;
}

/** For people. */
export function reportOf({ events, filled_per_s, runs, cpus, node }: ExportResult): string {
  return [
    `${events} events, put into the log by the committer at ${filled_per_s.toFixed(0)}/s; ${cpus} CPUs, Node ${node}.`,
    'Memory: the most a process was resident with, in the first tenth of the work, and in all of it.',
    '',
    ...runs.flatMap(({ name, elapsed_ms, bytes, memory }) => [
      `  ${name.padEnd(28)}${(elapsed_ms / 1000).toFixed(1).padStart(8)} s  ${((events / elapsed_ms) * 1000).toFixed(0).padStart(8)}/s  ${(bytes / 1024 ** 2).toFixed(0).padStart(6)} MiB`,
      ...Object.entries(memory).map(
        ([process_, { atTenth_mib, atEnd_mib }]) =>
          `    ${process_.padEnd(26)}${atTenth_mib.toFixed(0).padStart(8)} MiB${atEnd_mib.toFixed(0).padStart(9)} MiB`,
      ),
    ]),
  ].join('\n');
}
