import { Month, RetentionClass } from '#libs/contracts';
import { Command, InvalidArgumentError, Option } from 'commander';
import { given, limitOption } from '../option.values.js';
import { holdView } from '../output/retention.views.js';
import type { Perform } from '../session.js';

function month(text: string): string {
  const read = Month.safeParse(text);
  if (!read.success) throw new InvalidArgumentError('It must be a month such as 2026-01.');
  return read.data;
}

interface PlaceOptions {
  readonly reason: string;
  readonly class?: RetentionClass;
  readonly from?: string;
  readonly to?: string;
  readonly subject?: string;
}

/** `tradefleet audit hold` */
export function holdCommand(perform: Perform): Command {
  const hold = new Command('hold').description('forbid to drop or erase a part of the audit log');
  for (const make of [placeCommand, releaseCommand, listCommand]) hold.addCommand(make(perform));
  return hold;
}

function placeCommand(perform: Perform): Command {
  return new Command('place')
    .description('from now on; of the whole log unless it is narrowed')
    .requiredOption('--reason <text>', 'why; kept in the audit log, so it should not name a person')
    .addOption(new Option('--class <class>', 'of this class only').choices(RetentionClass.options))
    .addOption(new Option('--from <month>', 'from this month on, e.g. 2026-01').argParser(month))
    .addOption(new Option('--to <month>', 'up to this month').argParser(month))
    .option('--subject <id>', 'only records of one person, by the id that stands in them')
    .action((options: PlaceOptions, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const { reason, class: of, from, to, subject } = options;
        const placed = await gateway.call('holds.place', {
          reason,
          ...given({ class: of, from, to, subject }),
        });
        printer.answer(placed, () => printer.line(`Hold ${placed.id} is placed.`));
        return undefined;
      }),
    );
}

function releaseCommand(perform: Perform): Command {
  return new Command('release')
    .argument('<id>')
    .description('end a hold')
    .requiredOption('--reason <text>', 'why; kept in the audit log')
    .action((id: string, { reason }: { reason: string }, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const released = await gateway.call('holds.release', { id, reason });
        printer.answer(released, () => printer.line(`Hold ${released.id} is released.`));
        return undefined;
      }),
    );
}

function listCommand(perform: Perform): Command {
  return new Command('list')
    .description('holds, newest first')
    .option('--released', 'with those that were released', false)
    .addOption(limitOption(100))
    .action((options: { released: boolean; limit: number }, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const request = { released: options.released };
        const rows = await gateway.list('holds.list', 'holds', request, options.limit);
        printer.rows(rows, holdView.columns, holdView.cells, 'No holds.');
        return undefined;
      }),
    );
}
