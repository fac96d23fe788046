import type { ApiRequest } from '#libs/contracts';
import { type Command, Option } from 'commander';
import { given, instant } from '../option.values.js';
import type { Session } from '../session.js';

/** What events are chosen by, as options. */
export interface FilterOptions {
  readonly entity?: string;
  readonly id?: string;
  readonly type?: string;
  readonly source?: string;
  readonly severity?: 'info' | 'notice' | 'warning' | 'critical';
  readonly class?: 'trading' | 'audit' | 'error' | 'session';
  readonly text?: string;
  readonly actor?: string;
  readonly trace?: string;
  readonly from?: string;
  readonly to?: string;
}

/** The options by which events are chosen; the same for every command that asks for some. */
export const withFilters = (command: Command): Command =>
  command
    .option('--entity <kind>', 'e.g. bot, account, allocation, host')
    .option('--id <id>', 'of one entity: its name or id')
    .option('--type <type>', 'e.g. tradefleet.bot.created')
    .option('--source <source>', 'who made the event, e.g. /scheduler or /agent/host-a')
    .addOption(
      new Option('--severity <severity>', 'as severe, or more').choices([
        'info',
        'notice',
        'warning',
        'critical',
      ]),
    )
    .addOption(
      new Option('--class <class>', 'retention class').choices(['trading', 'audit', 'error', 'session']),
    )
    .option('--text <words>', 'in detail or reason: words, "a phrase", or, -without')
    .option('--actor <actor>', 'who asked, e.g. user:admin')
    .option('--trace <id>', 'of one trace')
    .option('--from <when>', 'not before: an instant or an age such as 15m, 2h, 3d')
    .option('--to <when>', 'before');

/** What they say, but for the time. */
export const whatFilter = (options: FilterOptions) =>
  given({
    entity: options.entity,
    entityId: options.id,
    type: options.type,
    source: options.source,
    severity: options.severity,
    retention: options.class,
    text: options.text,
    actor: options.actor,
    traceId: options.trace,
  }) satisfies ApiRequest<'events.tail'>;

/** All they say. Throws `UsageError`. */
export function wholeFilter(options: FilterOptions, { surroundings }: Session) {
  const wall_ms = surroundings.clock.wallMs();
  const { from, to } = options;
  return {
    ...whatFilter(options),
    ...given({
      from: from === undefined ? undefined : instant(from, '--from', wall_ms),
      to: to === undefined ? undefined : instant(to, '--to', wall_ms),
    }),
  } satisfies ApiRequest<'events.query'>;
}
