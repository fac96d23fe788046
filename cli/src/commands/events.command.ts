import type { FleetEvent } from '#libs/contracts';
import { Command, Option } from 'commander';
import { UsageError } from '../exit.codes.js';
import { type EventFilter, followEvents } from '../event.follower.js';
import { given, instant, limitOption } from '../option.values.js';
import { showEvent } from '../output/views.js';
import type { Perform, Session } from '../session.js';

interface EventOptions {
  readonly follow: boolean;
  readonly entity?: string;
  readonly id?: string;
  readonly type?: string;
  readonly actor?: string;
  readonly trace?: string;
  readonly from?: string;
  readonly to?: string;
  readonly order: 'asc' | 'desc';
  readonly limit: number;
}

export function eventsCommand(perform: Perform): Command {
  return new Command('events')
    .description('search the audit log, or follow what happens with -f')
    .option('-f, --follow', 'from now on, as it happens', false)
    .option('--entity <kind>', 'e.g. bot, account, allocation, host')
    .option('--id <id>', 'of one entity: its name or id')
    .option('--type <type>', 'e.g. tradefleet.bot.created')
    .option('--actor <actor>', 'who asked, e.g. user:admin')
    .option('--trace <id>', 'of one trace')
    .option('--from <when>', 'not before: an instant or an age such as 15m, 2h, 3d')
    .option('--to <when>', 'not after')
    .addOption(new Option('--order <order>', 'by time').choices(['asc', 'desc']).default('desc'))
    .addOption(limitOption(100))
    .action((options: EventOptions, command: Command) =>
      perform(command, async (session) => {
        const filter: EventFilter = given({
          entity: options.entity,
          entityId: options.id,
          type: options.type,
          actor: options.actor,
          traceId: options.trace,
        });
        if (!options.follow) await search(filter, options, session);
        else if (options.from !== undefined || options.to !== undefined)
          throw new UsageError('--from and --to search the past; leave them out with -f.');
        else await followEvents(filter, (event) => print(event, session), session);
        return undefined;
      }),
    );
}

async function search(filter: EventFilter, options: EventOptions, session: Session): Promise<void> {
  const wall_ms = session.surroundings.clock.wallMs();
  const range = given({
    from: options.from === undefined ? undefined : instant(options.from, '--from', wall_ms),
    to: options.to === undefined ? undefined : instant(options.to, '--to', wall_ms),
  });
  const request = { ...filter, ...range, order: options.order };
  const events = await session.gateway.list('events.query', 'events', request, options.limit);
  for (const event of events) print(event, session);
  if (events.length === 0 && !session.printer.json) session.printer.line('No events.');
}

const print = (event: FleetEvent, { printer }: Session): void =>
  printer.answer(event, () => showEvent(printer, event));
