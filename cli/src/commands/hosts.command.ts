import { Command } from 'commander';
import { drainCommand } from './drain.command.js';
import { inviteCommand, labelCommand, removeCommand } from './joining.commands.js';
import { generationOption, given, idempotencyOption, limitOption } from '../option.values.js';
import { hostSheet, hostView } from '../output/views.js';
import type { Perform } from '../session.js';

interface ChangeOptions {
  readonly generation?: number;
  readonly idempotencyKey?: string;
}

export function hostsCommand(perform: Perform): Command {
  const hosts = new Command('hosts').description('machines with an agent');
  hosts
    .command('list')
    .description('list hosts by name; bots, CPU and memory as reserved/capacity')
    .addOption(limitOption(10_000))
    .action((options: { limit: number }, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const rows = await gateway.list('hosts.list', 'hosts', {}, options.limit);
        printer.rows(rows, hostView.columns, hostView.cells, 'No hosts.');
        return undefined;
      }),
    );
  hosts
    .command('get <name>')
    .description('show a host')
    .action((name: string, _options: object, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const host = await gateway.call('hosts.get', { name });
        printer.answer(host, () => printer.sheet(hostSheet(host)));
        return undefined;
      }),
    );
  hosts.addCommand(inviteCommand(perform));
  hosts.addCommand(labelCommand(perform));
  hosts.addCommand(removeCommand(perform));
  hosts.addCommand(drainCommand(perform));
  hosts
    .command('ready <name>')
    .description('end a drain')
    .addOption(generationOption())
    .addOption(idempotencyOption())
    .action((name: string, options: ChangeOptions, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const { generation: expectedGeneration, idempotencyKey } = options;
        const host = await gateway.call('hosts.ready', {
          name,
          ...given({ expectedGeneration, idempotencyKey }),
        });
        printer.answer(host, () => printer.line(`Host ${host.name} is ${host.state}.`));
        return undefined;
      }),
    );
  return hosts;
}
