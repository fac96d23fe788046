import type { FleetEvent } from '#libs/contracts';
import { Command, Option } from 'commander';
import { UsageError } from '../exit.codes.js';
import { followEvents } from '../event.follower.js';
import { limitOption } from '../option.values.js';
import { showEvent } from '../output/views.js';
import type { Perform, Session } from '../session.js';
import { type FilterOptions, whatFilter, wholeFilter, withFilters } from './event.filters.js';
import { eventsCountCommand } from './events.count.command.js';
import { eventsExportCommand } from './events.export.command.js';

interface EventOptions extends FilterOptions {
  readonly follow: boolean;
  readonly order: 'asc' | 'desc';
  readonly limit: number;
}

export function eventsCommand(perform: Perform): Command {
  return new Command('events')
    .description('search, follow, count and export what the audit log has')
    .addCommand(searchCommand(perform), { isDefault: true })
    .addCommand(eventsCountCommand(perform))
    .addCommand(eventsExportCommand(perform));
}

/** Also what `tradefleet events` does without the name of a command. */
function searchCommand(perform: Perform): Command {
  const command = new Command('search')
    .description('search the audit log, or follow what happens with -f (the default)')
    .option('-f, --follow', 'from now on, as it is recorded', false);
  return withFilters(command)
    .addOption(new Option('--order <order>', 'by time').choices(['asc', 'desc']).default('desc'))
    .addOption(limitOption(100))
    .action((options: EventOptions, command: Command) =>
      perform(command, async (session) => {
        if (!options.follow) await search(options, session);
        else if (options.from !== undefined || options.to !== undefined)
          throw new UsageError('--from and --to search the past; leave them out with -f.');
        else await followEvents(whatFilter(options), (event) => print(event, session), session);
        return undefined;
      }),
    );
}

async function search(options: EventOptions, session: Session): Promise<void> {
  const request = { ...wholeFilter(options, session), order: options.order };
  const events = await session.gateway.list('events.query', 'events', request, options.limit);
  for (const event of events) print(event, session);
  if (events.length === 0 && !session.printer.json) session.printer.line('No events.');
}

const print = (event: FleetEvent, { printer }: Session): void =>
  printer.answer(event, () => showEvent(printer, event));
