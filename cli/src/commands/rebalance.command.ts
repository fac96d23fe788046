import { Command, Option } from 'commander';
import { type ExitCode, exitCodes, UsageError } from '../exit.codes.js';
import { waitForOperation } from '../operation.waiter.js';
import { duration, given, idempotencyOption, integer, waitOptions } from '../option.values.js';
import { showRebalance } from '../output/move.views.js';
import { confirmed } from '../prompts/confirmation.js';
import type { Perform, Session } from '../session.js';

interface RebalanceOptions {
  readonly yes: boolean;
  readonly moves?: number;
  readonly tolerance?: number;
  readonly ranFor?: number;
  readonly prepare: boolean;
  readonly idempotencyKey?: string;
  readonly wait: boolean;
  readonly timeout: number;
}

/** `tradefleet rebalance`: the plan is always shown first. */
export function rebalanceCommand(perform: Perform): Command {
  const rebalance = new Command('rebalance')
    .description('move bots so that hosts are loaded alike: shows the plan, asks, and carries it out')
    .option('-y, --yes', 'do not ask; needed without a terminal', false)
    .addOption(new Option('--moves <n>', 'bots moved at most (default: 20)').argParser(integer(1, 200)))
    .addOption(
      new Option(
        '--tolerance <percent>',
        'difference between hosts that is left alone, in per cent of capacity (default: 10)',
      ).argParser(integer(1, 100)),
    )
    .addOption(
      new Option('--ran-for <duration>', 'leave bots alone that have run for less (default: 5m)').argParser(
        duration,
      ),
    )
    .option('--no-prepare', 'stop each bot at once, before image and volume are ready elsewhere')
    .addOption(idempotencyOption());
  for (const option of waitOptions()) rebalance.addOption(option);
  return rebalance.action((options: RebalanceOptions, command: Command) =>
    perform(command, async (session) => {
      const { stdin, stderr } = session.surroundings;
      if (!options.yes && !(stdin.isTTY === true && stderr.isTTY === true))
        throw new UsageError('Give --yes: there is no terminal to ask whether the plan is right.');
      return await carryOut(options, session);
    }),
  );
}

async function carryOut(options: RebalanceOptions, session: Session): Promise<ExitCode | undefined> {
  const { gateway, printer, surroundings } = session;
  const asked = given({
    movesMax: options.moves,
    tolerancePercent: options.tolerance,
    ranForMs: options.ranFor,
  });
  const plan = await gateway.call('fleet.rebalance-plan', asked);
  if (!printer.json) showRebalance(printer, plan);
  if (plan.moves.length === 0) {
    if (printer.json) printer.document({ operation: null, moves: [] });
    return undefined;
  }
  if (!options.yes && !(await confirmed(`Move ${plan.moves.length} bots?`, surroundings))) {
    printer.note('Nothing has been changed.');
    return exitCodes.problem;
  }
  const accepted = await gateway.call('fleet.rebalance', {
    ...asked,
    version: plan.version,
    prepare: options.prepare,
    ...given({ idempotencyKey: options.idempotencyKey }),
  });
  printer.answer(accepted, () => printer.line(`Accepted: operation ${accepted.operation}`));
  return options.wait ? await waitForOperation(accepted.operation, options.timeout, session) : undefined;
}
