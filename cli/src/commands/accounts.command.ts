import type { Account } from '#libs/contracts';
import { Command } from 'commander';
import { generationOption, given, idempotencyOption, integer, limitOption } from '../option.values.js';
import type { Printer } from '../output/printer.js';
import { accountSheet, accountView } from '../output/views.js';
import type { Perform } from '../session.js';

interface CreateOptions {
  readonly tenant: string;
  readonly server: string;
  readonly login: number;
  readonly idempotencyKey?: string;
}

interface LockOptions {
  readonly reason: string;
  readonly generation?: number;
  readonly idempotencyKey?: string;
}

export function accountsCommand(perform: Perform): Command {
  const accounts = new Command('accounts').description('trading accounts; at most one bot trades each');
  accounts
    .command('list')
    .description('list accounts by name')
    .option('--tenant <name>', 'of this tenant only')
    .addOption(limitOption(10_000))
    .action((options: { tenant?: string; limit: number }, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const filter = given({ tenant: options.tenant });
        const rows = await gateway.list('accounts.list', 'accounts', filter, options.limit);
        printer.rows(rows, accountView.columns, accountView.cells, 'No accounts.');
        return undefined;
      }),
    );
  accounts
    .command('get <name>')
    .description('show an account')
    .action((name: string, _options: object, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        show(printer, await gateway.call('accounts.get', { name }));
        return undefined;
      }),
    );
  accounts
    .command('create <name>')
    .description('make an account; its password is set with: tradefleet credentials set <name>')
    .requiredOption('--tenant <name>', 'whose it is')
    .requiredOption('--server <name>', "the broker's trade server, as the terminal shows it")
    .requiredOption('--login <number>', 'number at the broker', integer(1, Number.MAX_SAFE_INTEGER))
    .addOption(idempotencyOption())
    .action((name: string, options: CreateOptions, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const { tenant, server, login, idempotencyKey } = options;
        const request = { name, tenant, server, login, ...given({ idempotencyKey }) };
        const account = await gateway.call('accounts.create', request);
        printer.answer(account, () => printer.line(`Account ${account.name} is made.`));
        return undefined;
      }),
    );
  for (const verb of ['lock', 'unlock'] as const) accounts.addCommand(lockCommand(verb, perform));
  return accounts;
}

function lockCommand(verb: 'lock' | 'unlock', perform: Perform): Command {
  return new Command(verb)
    .argument('<name>')
    .description(
      verb === 'lock' ? "stop the account's bot and keep it stopped" : "let the account's bot run again",
    )
    .requiredOption('--reason <text>', 'why; kept in the audit log')
    .addOption(generationOption())
    .addOption(idempotencyOption())
    .action((name: string, options: LockOptions, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const { reason, generation: expectedGeneration, idempotencyKey } = options;
        const account = await gateway.call(`accounts.${verb}`, {
          name,
          reason,
          ...given({ expectedGeneration, idempotencyKey }),
        });
        printer.answer(account, () => printer.line(`Account ${account.name} is ${verb}ed.`));
        return undefined;
      }),
    );
}

const show = (printer: Printer, account: Account): void =>
  printer.answer(account, () => printer.sheet(accountSheet(account)));
