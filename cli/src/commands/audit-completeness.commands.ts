import { GapState, QuarantineCode } from '#libs/contracts';
import { Command, Option } from 'commander';
import { given, limitOption } from '../option.values.js';
import { gapView, producerView, quarantineView } from '../output/audit.views.js';
import type { Perform } from '../session.js';

const sourceOption = (): Option =>
  new Option('--source <source>', 'of one producer, e.g. /scheduler or /agent/host-1');

/** `tradefleet audit producers` */
export function producersCommand(perform: Perform): Command {
  return new Command('producers')
    .description('how far the events of each producer are recorded')
    .addOption(sourceOption())
    .option('--incomplete', 'only those of which something is missing', false)
    .addOption(limitOption(100))
    .action((options: { source?: string; incomplete: boolean; limit: number }, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const request = given({ source: options.source, incomplete: options.incomplete });
        const rows = await gateway.list('producers.list', 'producers', request, options.limit);
        printer.rows(rows, producerView.columns, producerView.cells, 'No producers.');
        return undefined;
      }),
    );
}

/** `tradefleet audit gaps` */
export function gapsCommand(perform: Perform): Command {
  return new Command('gaps')
    .description('numbers of producers that did not come with the others, newest first')
    .addOption(sourceOption())
    .addOption(new Option('--state <state>', 'in this state only').choices(GapState.options))
    .addOption(limitOption(100))
    .action((options: { source?: string; state?: GapState; limit: number }, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const request = given({ source: options.source, state: options.state });
        const rows = await gateway.list('gaps.list', 'gaps', request, options.limit);
        printer.rows(rows, gapView.columns, gapView.cells, 'No gaps.');
        return undefined;
      }),
    );
}

/** `tradefleet audit quarantine` */
export function quarantineCommand(perform: Perform): Command {
  return new Command('quarantine')
    .description('what arrived as an event and was put aside, newest first')
    .addOption(sourceOption())
    .addOption(new Option('--code <code>', 'for this reason only').choices(QuarantineCode.options))
    .addOption(limitOption(100))
    .action((options: { source?: string; code?: QuarantineCode; limit: number }, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const request = given({ source: options.source, code: options.code });
        const rows = await gateway.list('quarantine.list', 'messages', request, options.limit);
        printer.rows(rows, quarantineView.columns, quarantineView.cells, 'Nothing was put aside.');
        return undefined;
      }),
    );
}
