import Table from 'cli-table3';
import { distributionOf } from '../report/statistics.js';
import { type AuditChaosResult, type KillsMade, sumOf } from './audit.result.js';
import { targets } from './kill.planner.js';

/** For people. */
export function auditReportOf(result: AuditChaosResult): string {
  const { seed, events, kills, made, producers, log, verified, failures } = result;
  return [
    `${events} events, ${kills} kills; seed ${seed}; written in ${seconds(result.writing_ms)}, all in ${seconds(result.elapsed_ms)}.`,
    '',
    killTable(made),
    '',
    producerTable(result),
    '',
    row(
      'recorded',
      sumOf(producers, ({ written }) => written),
      'durably written by their producers',
    ),
    row(
      'persisted',
      sumOf(producers, ({ recorded }) => recorded),
      'in the log, compared one by one',
    ),
    row(
      'duplicates',
      sumOf(producers, ({ duplicates }) => duplicates),
      'must be 0',
    ),
    row(
      'refilled',
      sumOf(producers, ({ refilled }) => refilled),
      'published again because the log lacked them',
    ),
    ...(log === null
      ? []
      : [
          row(
            'gaps open',
            log.gapsOpen,
            `${log.gapsFound} found, ${log.gapsRefilled} refilled, ${log.gapsLost} lost`,
          ),
          row('quarantined', log.quarantined, 'must be 0'),
          row('positions', log.size, `${log.misplaced} of them without exactly one record`),
          row('checkpoint', log.checkpointSize, 'records that the last signed one covers'),
        ]),
    `  ${'verified offline'.padEnd(20)}${verified?.split('\n')[0] ?? '–'}`,
    '',
    ...(failures.length === 0
      ? ['All held.']
      : ['NOT ALL HELD:', ...failures.map((failure) => `  - ${failure}`)]),
    ...(failures.length === 0
      ? []
      : [
          `  Again: npm run chaos -- audit --events ${events} --kills ${kills} --seed ${seed}; logs: ${result.logs}`,
        ]),
  ].join('\n');
}

function killTable(made: readonly KillsMade[]): string {
  const table = new Table({
    head: ['killed', 'n', 'down p50', 'log goes on p50', 'longest'],
    style: { head: [], border: [], compact: true },
    colAligns: ['left', 'right', 'right', 'right', 'right'],
  });
  const kinds: readonly (readonly [string, readonly KillsMade[]])[] = [
    ...targets.map((target) => [target, made.filter((one) => one.targets.join() === target)] as const),
    ['audit, then nats; store deleted', made.filter(({ losesStore }) => losesStore)],
  ];
  for (const [name, some] of kinds) {
    const down = distributionOf(some.map(({ down_ms }) => down_ms));
    const recover = distributionOf(some.map(({ recover_ms }) => recover_ms));
    const figures =
      down === null || recover === null
        ? ['–', '–', '–']
        : [down.p50_ms, recover.p50_ms, recover.max_ms].map(seconds);
    table.push([name, String(some.length), ...figures]);
  }
  const lost = sumOf(made, ({ lostByStore }) => lostByStore);
  return `${table.toString()}\n  ${lost} events were in the deleted store and not yet recorded`;
}

function producerTable({ producers }: AuditChaosResult): string {
  const table = new Table({
    head: ['producer', 'starts', 'recorded', 'persisted', 'duplicates', 'refilled'],
    style: { head: [], border: [], compact: true },
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right'],
  });
  for (const { source, incarnations, written, recorded, duplicates, refilled } of producers)
    table.push([source, ...[incarnations, written, recorded, duplicates, refilled].map(String)]);
  return table.toString();
}

const row = (name: string, value: number, more = ''): string =>
  `  ${name.padEnd(20)}${String(value).padStart(8)}  ${more}`.trimEnd();
const seconds = (value_ms: number): string => `${(value_ms / 1000).toFixed(1)} s`;
