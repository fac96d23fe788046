import type {
  Rollout,
  RolloutPlanned,
  RolloutState,
  RolloutSummary,
  RolloutTargetState,
} from '#libs/contracts';
import type { Printer, Tone } from './printer.js';
import { column, numbers, shown, type TableView } from './views.js';

const rolloutTones: Record<RolloutState, Tone> = {
  running: 'busy',
  paused: 'busy',
  reverting: 'bad',
  succeeded: 'good',
  reverted: 'bad',
  aborted: 'dim',
  failed: 'bad',
};
const targetTones: Record<RolloutTargetState, Tone> = {
  waiting: 'dim',
  changing: 'busy',
  healthy: 'good',
  failed: 'bad',
  skipped: 'dim',
  reverting: 'busy',
  reverted: 'bad',
};

export const rolloutView: TableView<RolloutSummary> = {
  columns: [
    ...['rollout', 'state'].map(column),
    ...['healthy', 'failed', 'of'].map(numbers),
    ...['change', 'by', 'created'].map(column),
  ],
  cells: ({ id, state, progress, change, by, createdAt }) => [
    id,
    { text: state, tone: rolloutTones[state] },
    progress.healthy,
    progress.failed,
    progress.total,
    changeText(change),
    by,
    createdAt,
  ],
};

const batchName = (batch: number): string => (batch === 0 ? 'canary' : `batch ${batch}`);

/** `version v2, parameters.lots 0.2` */
function changeText({ version, parameters, resources, policies }: RolloutSummary['change']): string {
  const of = (name: string, part: object | undefined): string[] =>
    Object.entries(part ?? {}).map(([key, value]) => `${name}.${key} ${shown(value)}`);
  return [
    ...(version === undefined ? [] : [`version ${version ?? '(default)'}`]),
    ...of('parameters', parameters),
    ...of('resources', resources),
    ...of('policies', policies),
  ].join(', ');
}

/** `canary: 1 changing, 29 waiting of 30` */
export function progressText({ state, batch, progress }: RolloutSummary): string {
  const { total, ...states } = progress;
  const parts = Object.entries(states).flatMap(([name, count]) => (count === 0 ? [] : [`${count} ${name}`]));
  const where = state !== 'running' ? state : batch === null ? 'about to begin' : batchName(batch);
  return `${where}: ${parts.join(', ')} of ${total}`;
}

/** What would change, bot by bot in its order, and what restarts. */
export function showRolloutPlan(printer: Printer, plan: RolloutPlanned): void {
  let batch = -1;
  for (const bot of plan.bots) {
    if (bot.batch !== batch) printer.line(batchName((batch = bot.batch)), 'bold');
    const notes = [
      bot.restarts ? 'restarts' : 'does not run',
      ...(bot.conflict === null ? [] : [`rollout ${bot.conflict} has it`]),
    ];
    const fields = bot.fields.map(({ path, from, to }) => `${path}: ${shown(from)} -> ${shown(to)}`);
    printer.line(
      `  ${bot.bot} (${notes.join('; ')})  ${fields.join(', ')}`,
      bot.conflict === null ? 'plain' : 'bad',
    );
  }
  for (const { runtime, hosts } of plan.offered)
    printer.line(
      `${runtime} is offered by ${hosts} ready ${hosts === 1 ? 'host' : 'hosts'}.`,
      hosts === 0 ? 'bad' : 'plain',
    );
  const restarts = plan.bots.filter((bot) => bot.restarts).length;
  printer.line(`${plan.bots.length} bots to change, ${restarts} restart, ${plan.unchanged} unchanged.`);
}

const targets_shown_max = 50;

/** The rollout and those of its bots that are not simply done or waiting. */
export function showRollout(printer: Printer, rollout: Rollout): void {
  const { id, state, reason, change, by, createdAt, endedAt, operation } = rollout;
  printer.sheet([
    ['rollout', id],
    ['state', { text: state, tone: rolloutTones[state] }],
    ['reason', reason],
    ['change', changeText(change)],
    ['progress', progressText(rollout)],
    ['operation', operation],
    ['asked', `${createdAt} by ${by}`],
    ['ended', endedAt],
  ]);
  const open = rollout.targets.filter((t) => t.state !== 'waiting' && t.state !== 'healthy');
  if (open.length === 0) return;
  printer.table(
    ['bot', 'batch', 'state', 'reason'].map(column),
    open
      .slice(0, targets_shown_max)
      .map((t) => [
        t.bot,
        t.batch === null ? null : batchName(t.batch),
        { text: t.state, tone: targetTones[t.state] },
        t.reason,
      ]),
  );
}
