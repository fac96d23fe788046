import type { SecurityEvent, SecurityReport, UnusualActivity } from '#libs/contracts';
import type { Printer, Tone } from './printer.js';
import { column, numbers, type TableView } from './views.js';

const severityTones: Record<SecurityEvent['severity'], Tone> = {
  low: 'dim',
  medium: 'plain',
  high: 'busy',
  critical: 'bad',
};
const resultTones: Record<SecurityEvent['result'], Tone> = {
  success: 'good',
  failure: 'bad',
  denied: 'busy',
  detected: 'busy',
};

export const securityEventView: TableView<SecurityEvent> = {
  columns: ['time', 'severity', 'result', 'kind', 'action', 'user', 'address', 'event'].map(column),
  cells: ({ timestamp, severity, result, event_type, action, user_id, ip_address, event_id }) => [
    timestamp,
    { text: severity, tone: severityTones[severity] },
    { text: result, tone: resultTones[result] },
    ...[event_type, action, user_id, ip_address, event_id],
  ],
};

export const unusualView: TableView<UnusualActivity> = {
  columns: [
    ...['noticed', 'rule', 'who', 'from', 'to'].map(column),
    numbers('count'),
    numbers('unusual from'),
  ],
  cells: ({ noticedAt, rule, who, from, to, count, threshold }) => [
    ...[noticedAt, { text: rule, tone: 'bad' as const }, who, from, to, count, threshold],
  ],
};

interface Counted {
  readonly name: string;
  readonly count: number;
}

/** The report on a few sheets and tables; what there is none of is left out. */
export function showReport(printer: Printer, report: SecurityReport): void {
  const { events, security, refused, gaps, quarantined, checkpoints, unusual } = report;
  const { bySeverity } = events;
  const { byResult } = security;
  const bad = (count: number, text = String(count)) => (count === 0 ? text : { text, tone: 'bad' as const });
  printer.sheet([
    ['week', `${report.week}, ${report.from} to ${report.to}`],
    ['state', report.closed ? `closed, SHA-256 ${report.digest ?? ''}` : 'open: as the log is now'],
    ['log', `${report.asOf} records looked at`],
    ['events', `${events.total}: ${counts(bySeverity)}`],
    ['security events', `${security.total}: ${counts(byResult)}`],
    ['refused', `${refused.total}, and ${refused.suppressed} counted only`],
    ['unusual activity', bad(unusual.total)],
    ['gaps', `${gaps.found} found, ${gaps.refilled} refilled`],
    ['events lost', bad(gaps.eventsLost)],
    ['put aside', bad(quarantined.total)],
    [
      'checkpoints',
      checkpoints.last === null
        ? 'none'
        : `${checkpoints.total}, the last of ${checkpoints.last.size} records at ${checkpoints.last.at}`,
    ],
    ['log diverged', bad(checkpoints.diverged)],
    ['passwords set', report.credentialsSet.total],
  ]);
  table(printer, 'events by type', events.byType);
  table(printer, 'security events by kind', security.byEventType);
  if (refused.top.length > 0)
    printer.table(
      [column('refused'), column('code'), numbers('count')],
      refused.top.map(({ action, code, count }) => [action, code, count]),
    );
  table(printer, 'who', report.actors);
  table(printer, 'unusual activity', unusual.byRule);
  table(printer, 'put aside by', quarantined.byCode);
  table(printer, 'hosts registered', report.hosts.registered);
  table(printer, 'hosts removed', report.hosts.removed);
  table(printer, 'password set of', report.credentialsSet.accounts);
}

const counts = (numbers: Readonly<Record<string, number>>): string =>
  Object.entries(numbers)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ');

function table(printer: Printer, head: string, rows: readonly Counted[]): void {
  if (rows.length > 0)
    printer.table(
      [column(head), numbers('count')],
      rows.map(({ name, count }) => [name, count]),
    );
}
