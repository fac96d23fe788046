import Table from 'cli-table3';
import { type FaultName, faultNames, faultsNotPossible } from '../planner/fault.catalogue.js';
import { orderSlack_ms } from '../rules/lease.settings.js';
import type { ChaosResult, FaultMade } from './result.js';
import { distributionOf, type Distribution } from './statistics.js';

/** For people. */
export function reportOf(result: ChaosResult): string {
  const { seed, hosts, bots, schedulers, ttl_ms, elapsed_ms, rounds, faults, failures } = result;
  return [
    `${faults.length} faults in ${rounds} rounds, ${(elapsed_ms / 60_000).toFixed(1)} minutes; seed ${seed}; ` +
      `${hosts} hosts, ${schedulers} schedulers, ${bots} bots, leases of ${seconds(ttl_ms)}.`,
    '',
    faultTable(faults),
    ...Object.entries(faultsNotPossible).map(([name, why]) => `  ${name}: not possible here (${why})`),
    ...(result.notMade.length === 0
      ? []
      : [`  ${result.notMade.length} drawn faults met nothing and are not counted`]),
    '',
    ...orderLines(result),
    '',
    ...ruleLines(result),
    '',
    ...eventLines(result),
    '',
    ...(failures.length === 0
      ? ['All held.']
      : ['NOT ALL HELD:', ...failures.map((failure) => `  - ${failure}`)]),
    ...(failures.length === 0 ? [] : [`  Again: npm run chaos -- --seed ${seed}; logs: ${result.logs}`]),
  ].join('\n');
}

function faultTable(faults: readonly FaultMade[]): string {
  const table = new Table({
    head: ['fault', 'n', 'shorter', 'about', 'longer', 'recover p50', 'p99', 'longest'],
    style: { head: [], border: [], compact: true },
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'right', 'right'],
  });
  for (const name of faultNames)
    table.push(
      faultRow(
        name,
        faults.filter((fault) => fault.name === name),
      ),
    );
  table.push(faultRow('all', faults));
  return `${table.toString()}\n  shorter, about, longer: than a lease; recover: from the healing of the round until all bots trade again`;
}

function faultRow(name: FaultName | 'all', made: readonly FaultMade[]): string[] {
  const lie = distributionOf(made.map(({ recover_ms }) => recover_ms));
  const spans = (['shorter', 'about', 'longer'] as const).map((span) =>
    String(made.filter((fault) => fault.span === span).length),
  );
  const times = lie === null ? ['–', '–', '–'] : [lie.p50_ms, lie.p99_ms, lie.max_ms].map(seconds);
  return [name, String(made.length), ...spans, ...times];
}

function orderLines(result: ChaosResult): string[] {
  const { orders, epochs, overlaps, handover, handoverShortest: shortest, load } = result;
  return [
    row(
      'orders at the broker',
      String(orders),
      `under ${epochs} epochs; at most ${ms(result.order_ms_max)} under way, which margins cover up to ${ms(orderSlack_ms)}`,
    ),
    row('overlaps', String(overlaps), 'two bots trading one account; must be 0'),
    ...result.overlapsShown.slice(0, 10).map((overlap) => `    ${JSON.stringify(overlap)}`),
    row(
      'one epoch to the next',
      figures(handover),
      shortest === null
        ? ''
        : `shortest ${ms(shortest.gap_ms)} (${shortest.account}, ${shortest.from} to ${shortest.to})`,
    ),
    row('asked by clients meanwhile', String(load.asked), `${load.refused} of it refused while broken`),
    row('the broker looked away', ms(result.stall_ms_max), 'at most'),
  ];
}

function ruleLines({ rules }: ChaosResult): string[] {
  if (rules === null) return [row('waits', '–', 'not read')];
  return [
    row(
      'last heartbeat to given up',
      figures(rules.heardToLost),
      `never before ${ms(rules.lostRule_ms)}; shortest ${least(rules.heardToLost)}`,
    ),
    row('given up to running elsewhere', figures(rules.lostToRunning)),
    row('last heartbeat to running', figures(rules.heardToRunning)),
    row(
      'standby takes over',
      figures(rules.takeovers),
      `never before ${ms(rules.takeoverRule_ms)}; shortest ${least(rules.takeovers)}`,
    ),
  ];
}

function eventLines({ events, ends }: ChaosResult): string[] {
  const parts = Object.entries(ends).map(([name, times]) => `${name} ${times}`);
  return [
    ...(events === null
      ? [row('events', '–', 'not read')]
      : [
          row('events recorded', String(events.recorded), 'in outboxes and spools'),
          row(
            'events audited',
            String(events.audited),
            `${events.unrecorded} of them by producers without a record`,
          ),
        ]),
    row('ended by themselves', parts.length === 0 ? 'none' : parts.join(', ')),
  ];
}

const row = (name: string, value: string, more = ''): string =>
  `  ${name.padEnd(32)}${value.padStart(8)}  ${more}`.trimEnd();
const seconds = (value_ms: number): string => `${(value_ms / 1000).toFixed(1)} s`;
const ms = (value_ms: number): string => `${value_ms.toFixed(0)} ms`;
const least = (lie: Distribution | null): string => (lie === null ? '–' : ms(lie.min_ms));
const figures = (lie: Distribution | null): string =>
  lie === null ? 'none' : `n ${lie.n}, p50 ${seconds(lie.p50_ms)}, p99 ${seconds(lie.p99_ms)}`;
