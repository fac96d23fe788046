import { SecurityEventType, SecurityResult, SecuritySeverity, UnusualRule, Week } from '#libs/contracts';
import { Command, InvalidArgumentError, Option } from 'commander';
import { given, instant, limitOption } from '../option.values.js';
import { securityEventView, showReport, unusualView } from '../output/security.views.js';
import type { Perform, Session } from '../session.js';

interface RangeOptions {
  readonly from?: string;
  readonly to?: string;
  readonly limit: number;
}
interface SecurityOptions extends RangeOptions {
  readonly kind?: SecurityEventType;
  readonly severity?: SecuritySeverity;
  readonly result?: SecurityResult;
  readonly user?: string;
  readonly action?: string;
  readonly order: 'asc' | 'desc';
}

const withRange = (command: Command): Command =>
  command
    .option('--from <when>', 'not before: an instant or an age such as 15m, 2h, 3d')
    .option('--to <when>', 'before')
    .addOption(limitOption(100));

function rangeOf({ from, to }: RangeOptions, { surroundings }: Session) {
  const wall_ms = surroundings.clock.wallMs();
  return given({
    from: from === undefined ? undefined : instant(from, '--from', wall_ms),
    to: to === undefined ? undefined : instant(to, '--to', wall_ms),
  });
}

/** `tradefleet audit security` */
export function securityCommand(perform: Perform): Command {
  const command = new Command('security')
    .description('what concerns security in the audit log, newest first')
    .addOption(new Option('--kind <kind>', 'of this kind').choices(SecurityEventType.options))
    .addOption(new Option('--severity <severity>', 'as severe, or more').choices(SecuritySeverity.options))
    .addOption(new Option('--result <result>', 'with this result').choices(SecurityResult.options))
    .option('--user <user>', 'who asked, e.g. user:admin')
    .option('--action <action>', 'e.g. account.locked, or what was asked for and refused, e.g. bots.stop')
    .addOption(new Option('--order <order>', 'by time').choices(['asc', 'desc']).default('desc'));
  return withRange(command).action((options: SecurityOptions, own: Command) =>
    perform(own, async (session) => {
      const { kind: eventType, severity, result, user, action, order, limit } = options;
      const request = {
        ...given({ eventType, severity, result, user, action }),
        ...rangeOf(options, session),
        order,
      };
      const rows = await session.gateway.list('security.events', 'events', request, limit);
      session.printer.rows(rows, securityEventView.columns, securityEventView.cells, 'No security events.');
      return undefined;
    }),
  );
}

/** `tradefleet audit unusual` */
export function unusualCommand(perform: Perform): Command {
  const command = new Command('unusual')
    .description('more of something than is usual, newest first')
    .addOption(new Option('--rule <rule>', 'by this rule').choices(UnusualRule.options));
  return withRange(command).action((options: RangeOptions & { rule?: UnusualRule }, own: Command) =>
    perform(own, async (session) => {
      const request = { ...given({ rule: options.rule }), ...rangeOf(options, session) };
      const rows = await session.gateway.list('security.unusual', 'activity', request, options.limit);
      session.printer.rows(rows, unusualView.columns, unusualView.cells, 'Nothing unusual.');
      return undefined;
    }),
  );
}

function week(text: string): string {
  const read = Week.safeParse(text);
  if (!read.success) throw new InvalidArgumentError('It must be a week such as 2026-W47.');
  return read.data;
}

/** `tradefleet audit report` */
export function reportCommand(perform: Perform): Command {
  return new Command('report')
    .description('the security report of a week; without one, of the last that is over')
    .addOption(new Option('--week <week>', 'an ISO week, e.g. 2026-W47').argParser(week))
    .action((options: { week?: string }, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const report = await gateway.call('security.report', given({ week: options.week }));
        printer.answer(report, () => showReport(printer, report));
        return undefined;
      }),
    );
}
