import { RolloutState } from '#libs/contracts';
import { Command, Option } from 'commander';
import { type ExitCode, exitCodes, UsageError } from '../exit.codes.js';
import { given, idempotencyOption, limitOption, waitOptions } from '../option.values.js';
import { progressText, rolloutView, showRollout, showRolloutPlan } from '../output/rollout.views.js';
import { confirmed } from '../prompts/confirmation.js';
import { waitForRollout } from '../rollout.waiter.js';
import type { Perform, Session } from '../session.js';
import { rolloutRequest, withRollout, type RolloutCommandOptions } from './rollout.options.js';

interface StartOptions extends RolloutCommandOptions {
  readonly yes: boolean;
  readonly wait: boolean;
  readonly timeout: number;
  readonly idempotencyKey?: string;
}
interface HoldOptions {
  readonly reason?: string;
  readonly idempotencyKey?: string;
}
interface AbortOptions extends HoldOptions {
  readonly revert: boolean;
  readonly wait: boolean;
  readonly timeout: number;
}

export function rolloutsCommand(perform: Perform): Command {
  const rollouts = new Command('rollouts').description('one change to many bots, a few at a time');
  rollouts.addCommand(planCommand(perform));
  rollouts.addCommand(startCommand(perform));
  rollouts
    .command('list')
    .description('list rollouts, newest first')
    .addOption(new Option('--state <state>', 'in this state only').choices(RolloutState.options))
    .addOption(limitOption(20))
    .action((options: { state?: RolloutState; limit: number }, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const filter = given({ state: options.state });
        const rows = await gateway.list('rollouts.list', 'rollouts', filter, options.limit);
        printer.rows(rows, rolloutView.columns, rolloutView.cells, 'No rollouts.');
        return undefined;
      }),
    );
  const get = rollouts
    .command('get <id>')
    .description('show a rollout, and the bots that are under way or went wrong');
  for (const option of waitOptions()) get.addOption(option);
  get.action((id: string, options: { wait: boolean; timeout: number }, command: Command) =>
    perform(command, async (session) => {
      if (options.wait) return await waitForRollout(id, options.timeout, session);
      const rollout = await session.gateway.call('rollouts.get', { id });
      session.printer.answer(rollout, () => showRollout(session.printer, rollout));
      return undefined;
    }),
  );
  rollouts.addCommand(holdCommand('pause', 'change no more bots until it is resumed', perform));
  rollouts.addCommand(holdCommand('resume', 'go on with a paused rollout', perform));
  rollouts.addCommand(abortCommand(perform));
  return rollouts;
}

function planCommand(perform: Perform): Command {
  const plan = new Command('plan').description(
    'show what a rollout would change and restart; changes nothing',
  );
  return withRollout(plan).action((options: RolloutCommandOptions, command: Command) =>
    perform(command, async ({ gateway, printer }) => {
      const planned = await gateway.call('rollouts.plan', rolloutRequest(options));
      printer.answer(planned, () => showRolloutPlan(printer, planned));
      return undefined;
    }),
  );
}

function startCommand(perform: Perform): Command {
  const start = new Command('start')
    .description('roll a change out: shows the plan, asks, and starts it as it was shown')
    .option('-y, --yes', 'do not ask; needed without a terminal', false)
    .addOption(idempotencyOption());
  for (const option of waitOptions()) start.addOption(option);
  return withRollout(start).action((options: StartOptions, command: Command) =>
    perform(command, async (session) => {
      const { stdin, stderr } = session.surroundings;
      if (!options.yes && !(stdin.isTTY === true && stderr.isTTY === true))
        throw new UsageError('Give --yes: there is no terminal to ask whether the plan is right.');
      return await startRollout(options, session);
    }),
  );
}

async function startRollout(options: StartOptions, session: Session): Promise<ExitCode | undefined> {
  const { gateway, printer, surroundings } = session;
  const request = rolloutRequest(options);
  const plan = await gateway.call('rollouts.plan', request);
  if (!printer.json) showRolloutPlan(printer, plan);
  const restarts = plan.bots.filter((bot) => bot.restarts).length;
  if (!options.yes && plan.bots.length > 0) {
    const question = `Change ${plan.bots.length} bots, of which ${restarts} restart?`;
    if (!(await confirmed(question, surroundings))) {
      printer.note('Nothing has been changed.');
      return exitCodes.problem;
    }
  }
  const { idempotencyKey } = options;
  const rollout = await gateway.call('rollouts.create', {
    ...request,
    version: plan.version,
    ...given({ idempotencyKey }),
  });
  printer.answer(rollout, () => printer.line(`Started: rollout ${rollout.id}`));
  return options.wait ? await waitForRollout(rollout.id, options.timeout, session) : undefined;
}

function holdCommand(verb: 'pause' | 'resume', description: string, perform: Perform): Command {
  return new Command(verb)
    .argument('<id>')
    .description(description)
    .option('--reason <text>', 'why; kept in the audit log')
    .addOption(idempotencyOption())
    .action((id: string, options: HoldOptions, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const { reason, idempotencyKey } = options;
        const rollout = await gateway.call(`rollouts.${verb}`, { id, ...given({ reason, idempotencyKey }) });
        printer.answer(rollout, () => printer.line(`Rollout ${id} is ${progressText(rollout)}`));
        return undefined;
      }),
    );
}

function abortCommand(perform: Perform): Command {
  const abort = new Command('abort')
    .argument('<id>')
    .description('end a rollout; changed bots stay as they are unless --revert is given')
    .option('--revert', 'give changed bots their former definition back', false)
    .option('--reason <text>', 'why; kept in the audit log')
    .addOption(idempotencyOption());
  for (const option of waitOptions()) abort.addOption(option);
  return abort.action((id: string, options: AbortOptions, command: Command) =>
    perform(command, async (session) => {
      const { gateway, printer } = session;
      const { revert, reason, idempotencyKey } = options;
      const rollout = await gateway.call('rollouts.abort', {
        id,
        revert,
        ...given({ reason, idempotencyKey }),
      });
      printer.answer(rollout, () => printer.line(`Rollout ${id} is ${progressText(rollout)}`));
      const wanted = revert ? 'reverted' : 'aborted';
      return options.wait ? await waitForRollout(id, options.timeout, session, wanted) : undefined;
    }),
  );
}
