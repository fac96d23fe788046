import { limits } from '#libs/contracts';
import { Command, Option } from 'commander';
import { given, integer } from '../option.values.js';
import { showCounts } from '../output/count.views.js';
import type { Perform } from '../session.js';
import { type FilterOptions, wholeFilter, withFilters } from './event.filters.js';

interface CountOptions extends FilterOptions {
  readonly bucket: 'minute' | 'hour' | 'day';
  readonly by?: 'type' | 'severity' | 'source' | 'entity';
  readonly groups: number;
}

export function eventsCountCommand(perform: Perform): Command {
  const command = new Command('count').description('count events over time, in whole buckets of UTC');
  return withFilters(command)
    .addOption(
      new Option('--bucket <bucket>', 'length of a bucket')
        .choices(['minute', 'hour', 'day'])
        .default('hour'),
    )
    .addOption(new Option('--by <field>', 'by group').choices(['type', 'severity', 'source', 'entity']))
    .option('--groups <n>', 'groups shown, largest first', integer(1, limits.count_groups_max), 10)
    .action((options: CountOptions, command: Command) =>
      perform(command, async (session) => {
        const { bucket, by, groups } = options;
        const request = { ...wholeFilter(options, session), bucket, groups, ...given({ by }) };
        const counts = await session.gateway.call('events.count', request);
        session.printer.answer(counts, () => showCounts(session.printer, counts, by));
        return undefined;
      }),
    );
}
