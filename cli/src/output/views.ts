import {
  runtimeRef,
  type Account,
  type AllocationState,
  type AttemptExit,
  type Bot,
  type FleetEvent,
  type Host,
  type Operation,
  type OperationState,
  type PlanChange,
  type Tenant,
} from '#libs/contracts';
import type { Cell, Column, Printer, Tone } from './printer.js';

/** How each entity looks in a table and on a sheet of its own. */
export interface TableView<T> {
  readonly columns: readonly Column[];
  readonly cells: (row: T) => readonly Cell[];
}

export const column = (head: string): Column => ({ head });
export const numbers = (head: string): Column => ({ head, align: 'right' });

const phaseTones: Record<AllocationState | 'none' | 'queued', Tone> = {
  none: 'dim',
  queued: 'busy',
  placed: 'busy',
  accepted: 'busy',
  preparing: 'busy',
  starting: 'busy',
  running: 'good',
  stopping: 'busy',
  stopped: 'dim',
  failed: 'bad',
  lost: 'bad',
};

const operationTones: Record<OperationState, Tone> = {
  running: 'busy',
  succeeded: 'good',
  failed: 'bad',
  superseded: 'dim',
};

const money = (amount: number): string =>
  amount.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 });

export const botView: TableView<Bot> = {
  columns: [
    ...['bot', 'tenant', 'account', 'host', 'wanted', 'state', 'stage'].map(column),
    numbers('equity'),
    column('reason'),
  ],
  cells: (bot) => {
    const { phase, host, allocation, observation, reason } = bot.status;
    return [
      bot.name,
      bot.tenant,
      bot.account,
      host,
      bot.desired,
      { text: phase, tone: phaseTones[phase] },
      observation?.stage ?? allocation?.stage ?? null,
      observation?.equity == null
        ? null
        : `${money(observation.equity)} ${observation.currency ?? ''}`.trim(),
      reason,
    ];
  },
};

export function botSheet(bot: Bot): (readonly [string, Cell])[] {
  const { phase, reason, allocation, observation, failures, nextTryAt, gaveUpAt } = bot.status;
  const { cpuMillis, memoryMiB, pids } = bot.resources;
  return [
    ['bot', bot.name],
    ['tenant', bot.tenant],
    ['account', bot.account],
    ['runtime', runtimeRef(bot.runtime, bot.version)],
    ['wanted', bot.desired],
    ['generation', bot.generation],
    ['state', { text: phase, tone: phaseTones[phase] }],
    ['reason', reason],
    ['host', bot.status.host],
    ['allocation', allocation?.id ?? null],
    ['epoch', allocation?.epoch ?? null],
    ['attempt', allocation?.attempt ?? null],
    ['last exit', exitOf(allocation?.lastExit ?? null)],
    ['exit code', allocation?.exitCode ?? null],
    ['failures', failures === 0 ? null : failures],
    ['next try', nextTryAt],
    ['gave up', gaveUpAt === null ? null : { text: gaveUpAt, tone: 'bad' }],
    ['stage', observation?.stage ?? allocation?.stage ?? null],
    [
      'equity',
      observation?.equity == null ? null : `${money(observation.equity)} ${observation.currency ?? ''}`,
    ],
    ['positions', observation?.positions ?? null],
    ['orders today', observation?.ordersToday ?? null],
    ['seen', observation?.observedAt ?? null],
    ['resources', `${cpuMillis} m CPU, ${memoryMiB} MiB, ${pids} processes`],
    ['parameters', JSON.stringify(bot.parameters)],
    ['constraints', bot.constraints.length === 0 ? null : JSON.stringify(bot.constraints)],
    ['policies', JSON.stringify(bot.policies)],
    ['created', `${bot.createdAt} by ${bot.createdBy}`],
    ['updated', bot.updatedAt],
  ];
}

/** How the attempt before ended. */
function exitOf(exit: AttemptExit | null): string | null {
  if (exit === null) return null;
  const code = exit.exitCode === null ? '' : `, exit code ${exit.exitCode}`;
  return `${exit.reason}${code}, at ${exit.at}`;
}

export const accountView: TableView<Account> = {
  columns: [
    ...['account', 'tenant', 'server'].map(column),
    numbers('login'),
    numbers('epoch'),
    column('locked'),
  ],
  cells: (account) => [
    account.name,
    account.tenant,
    account.server,
    account.login,
    account.epoch,
    account.locked === null ? null : { text: account.locked.reason, tone: 'bad' },
  ],
};

export const accountSheet = (account: Account): (readonly [string, Cell])[] => [
  ['account', account.name],
  ['tenant', account.tenant],
  ['server', account.server],
  ['login', account.login],
  ['epoch', account.epoch],
  ['generation', account.generation],
  [
    'locked',
    account.locked === null
      ? 'no'
      : { text: `${account.locked.reason} (${account.locked.by}, ${account.locked.at})`, tone: 'bad' },
  ],
  ['created', `${account.createdAt} by ${account.createdBy}`],
];

export const tenantView: TableView<Tenant> = {
  columns: ['tenant', 'name', 'created', 'by'].map(column),
  cells: (tenant) => [tenant.name, tenant.displayName, tenant.createdAt, tenant.createdBy],
};

const ofQuota = (used: number, quota: number | null, unit: string): string =>
  quota === null ? `${used}${unit}, no quota` : `${used} of ${quota}${unit}`;

export const tenantSheet = ({ quotas, used, ...tenant }: Tenant): (readonly [string, Cell])[] => [
  ['tenant', tenant.name],
  ['name', tenant.displayName],
  ['bots to run', ofQuota(used.bots, quotas.bots, '')],
  ['CPU', ofQuota(used.cpuMillis, quotas.cpuMillis, ' m')],
  ['memory', ofQuota(used.memoryMiB, quotas.memoryMiB, ' MiB')],
  ['priority', tenant.priority],
  ['generation', tenant.generation],
  ['created', `${tenant.createdAt} by ${tenant.createdBy}`],
];

const hostTones: Record<Host['state'], Tone> = { ready: 'good', draining: 'busy', down: 'bad' };

export const hostView: TableView<Host> = {
  columns: [
    ...['host', 'state', 'driver'].map(column),
    ...['bots', 'CPU m', 'memory MiB'].map(numbers),
    ...['heartbeat', 'drain'].map(column),
  ],
  cells: (host) => [
    host.name,
    { text: host.state, tone: hostTones[host.state] },
    host.driver,
    `${host.reserved.bots}/${host.capacity.bots}`,
    `${host.reserved.cpuMillis}/${host.capacity.cpuMillis}`,
    `${host.reserved.memoryMiB}/${host.capacity.memoryMiB}`,
    host.lastHeartbeatAt,
    host.drain?.reason ?? null,
  ],
};

const drainSheet = (drain: Host['drain']): (readonly [string, Cell])[] =>
  drain === null
    ? []
    : [
        ['moved', `${drain.moved} of ${drain.total}; ${drain.moving} on their way, ${drain.waiting} waiting`],
        [
          'deadline',
          drain.deadlineAt === null ? null : `${drain.deadlineAt}, then ${drain.onDeadline} what is left`,
        ],
        ['empty since', drain.endedAt],
      ];

const fingerprintSheet = (print: Host['fingerprint']): (readonly [string, Cell])[] =>
  print === null
    ? []
    : [
        ['machine', `${print.kernel} (${print.arch}), ${print.engine}`],
        ['measured', `${print.cpuMillis} m, ${print.memoryMiB} MiB, disk ${print.diskMiB} MiB`],
        ['kept back', `${print.reservation.cpuMillis} m, ${print.reservation.memoryMiB} MiB`],
      ];

export const hostSheet = (host: Host): (readonly [string, Cell])[] => [
  ['host', host.name],
  ['state', { text: host.state, tone: hostTones[host.state] }],
  ['driver', host.driver],
  ['runtimes', host.runtimes.join(', ')],
  ['labels', Object.keys(host.labels).length === 0 ? null : JSON.stringify(host.labels)],
  ['bots', `${host.reserved.bots} of ${host.capacity.bots}`],
  ['CPU', `${host.reserved.cpuMillis} of ${host.capacity.cpuMillis} m reserved`],
  ['memory', `${host.reserved.memoryMiB} of ${host.capacity.memoryMiB} MiB reserved`],
  ['overcommitted', host.overcommitted ? { text: 'yes', tone: 'bad' } : 'no'],
  ['agent', host.agentVersion],
  ...fingerprintSheet(host.fingerprint),
  ['signing key', host.signingKey.kid ?? host.signingKey.x],
  ['generation', host.generation],
  ['registered', host.registeredAt],
  ['heartbeat', host.lastHeartbeatAt],
  ['drain', host.drain === null ? null : `${host.drain.reason} (${host.drain.by}, ${host.drain.at})`],
  ...drainSheet(host.drain),
];

export const operationView: TableView<Operation> = {
  columns: [
    ...['operation', 'kind', 'state'].map(column),
    ...['done', 'failed', 'of'].map(numbers),
    ...['by', 'created'].map(column),
  ],
  cells: ({ id, kind, state, progress, by, createdAt }) => [
    id,
    kind,
    { text: state, tone: operationTones[state] },
    progress.done,
    progress.failed,
    progress.total,
    by,
    createdAt,
  ],
};

const targets_shown_max = 20;

/** The operation and those of its bots that are not simply done. */
export function showOperation(printer: Printer, operation: Operation): void {
  const { id, kind, state, progress, by, createdAt, updatedAt } = operation;
  printer.sheet([
    ['operation', id],
    ['kind', kind],
    ['state', { text: state, tone: operationTones[state] }],
    ['progress', `${progress.done} of ${progress.total} done, ${progress.failed} failed`],
    ['asked', `${createdAt} by ${by}`],
    ['updated', updatedAt],
  ]);
  const open = operation.targets.filter((target) => target.state !== 'succeeded');
  if (open.length === 0) return;
  printer.table(
    ['bot', 'goal', 'state', 'reason'].map(column),
    open
      .slice(0, targets_shown_max)
      .map((target) => [
        target.bot,
        target.goal,
        { text: target.state, tone: operationTones[target.state] },
        target.reason,
      ]),
  );
  if (open.length > targets_shown_max) printer.line(`and ${open.length - targets_shown_max} more`);
}

const severityTones: Record<FleetEvent['severity'], Tone> = {
  info: 'plain',
  notice: 'plain',
  warning: 'busy',
  critical: 'bad',
};

/** One event on one line: when, what, whose, by whom, and what it says. */
export function showEvent(printer: Printer, event: FleetEvent): void {
  const what = event.type.replace(/^tradefleet\./, '');
  const data = Object.entries(event.data)
    .filter(([name, value]) => value !== null && name !== event.entity && typeof value !== 'object')
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(' ');
  printer.line(
    `${event.time}  ${what}  ${event.entityId}  by ${event.actor}  ${data}`.trimEnd(),
    severityTones[event.severity],
  );
}

const signs = { create: '+', update: '~', delete: '-' } as const;
const changeTones: Record<PlanChange['action'], Tone> = { create: 'good', update: 'busy', delete: 'bad' };

/** The plan, a change a line with its fields below, then the counts. */
export function showChanges(printer: Printer, changes: readonly PlanChange[], unchanged: number): void {
  for (const change of changes) {
    const restarts = change.restarts ? ' (the running bot is replaced)' : '';
    printer.line(
      `${signs[change.action]} ${change.entity} ${change.name}${restarts}`,
      changeTones[change.action],
    );
    if (change.action === 'update')
      for (const { path, from, to } of change.fields)
        printer.line(`    ${path}: ${shown(from)} -> ${shown(to)}`);
  }
  const count = (action: PlanChange['action']) => changes.filter((change) => change.action === action).length;
  printer.line(
    `${count('create')} to create, ${count('update')} to update, ${count('delete')} to delete, ${unchanged} unchanged.`,
  );
}

export const shown = (value: unknown): string =>
  value === undefined || value === null ? 'nothing' : JSON.stringify(value);
