import { MoveState } from '#libs/contracts';
import { Command, Option } from 'commander';
import { given, limitOption } from '../option.values.js';
import { moveView } from '../output/move.views.js';
import type { Perform } from '../session.js';

interface ListOptions {
  readonly host?: string;
  readonly bot?: string;
  readonly state?: MoveState;
  readonly limit: number;
}

export function movesCommand(perform: Perform): Command {
  const moves = new Command('moves').description('bots on their way between hosts');
  moves
    .command('list')
    .description('list moves, newest first, with the time each bot did not run')
    .option('--host <name>', 'from or to this host')
    .option('--bot <name>', 'of this bot')
    .addOption(new Option('--state <state>', 'in this state only').choices(MoveState.options))
    .addOption(limitOption(100))
    .action(({ host, bot, state, limit }: ListOptions, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const rows = await gateway.list('moves.list', 'moves', given({ host, bot, state }), limit);
        printer.rows(rows, moveView.columns, moveView.cells, 'No moves.');
        return undefined;
      }),
    );
  return moves;
}
