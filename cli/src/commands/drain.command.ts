import { Command, Option } from 'commander';
import { waitForDrain } from '../drain.waiter.js';
import {
  duration,
  generationOption,
  given,
  idempotencyOption,
  integer,
  waitOptions,
} from '../option.values.js';
import type { Perform } from '../session.js';

interface DrainOptions {
  readonly reason: string;
  readonly deadline?: number;
  readonly onDeadline?: 'keep' | 'stop';
  readonly prepare: boolean;
  readonly parallel?: number;
  readonly generation?: number;
  readonly idempotencyKey?: string;
  readonly wait: boolean;
  readonly timeout: number;
}

/** `tradefleet hosts drain` */
export function drainCommand(perform: Perform): Command {
  const drain = new Command('drain')
    .argument('<name>')
    .description('move everything off a host and place nothing more on it')
    .requiredOption('--reason <text>', 'why; kept in the audit log')
    .addOption(
      new Option('--deadline <duration>', 'by when it should be empty: 90s, 10m, 2h').argParser(duration),
    )
    .addOption(
      new Option(
        '--on-deadline <what>',
        'bots that no other host can take by then: keep lets them trade on, stop stops them (default: keep)',
      ).choices(['keep', 'stop']),
    )
    .option('--no-prepare', 'stop each bot at once, before image and volume are ready elsewhere')
    .addOption(
      new Option('--parallel <n>', 'bots on their way at a time (default: 5)').argParser(integer(1, 100)),
    )
    .addOption(generationOption())
    .addOption(idempotencyOption());
  for (const option of waitOptions()) drain.addOption(option);
  return drain.action((name: string, options: DrainOptions, command: Command) =>
    perform(command, async (session) => {
      const { gateway, printer } = session;
      const { reason, prepare, onDeadline, parallel, idempotencyKey } = options;
      const { deadline: deadlineMs, generation: expectedGeneration } = options;
      const optional = given({ deadlineMs, onDeadline, parallel, expectedGeneration, idempotencyKey });
      const host = await gateway.call('hosts.drain', { name, reason, prepare, ...optional });
      printer.answer(host, () =>
        printer.line(`Host ${host.name} drains; ${host.reserved.bots} bots are to move.`),
      );
      return options.wait ? await waitForDrain(name, options.timeout, session) : undefined;
    }),
  );
}
