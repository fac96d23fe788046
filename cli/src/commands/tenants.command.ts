import { Command } from 'commander';
import { given, idempotencyOption, limitOption } from '../option.values.js';
import { tenantView } from '../output/views.js';
import type { Perform } from '../session.js';

export function tenantsCommand(perform: Perform): Command {
  const tenants = new Command('tenants').description('clients of the operator; they own accounts and bots');
  tenants
    .command('list')
    .description('list tenants by name')
    .addOption(limitOption(10_000))
    .action((options: { limit: number }, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const rows = await gateway.list('tenants.list', 'tenants', {}, options.limit);
        printer.rows(rows, tenantView.columns, tenantView.cells, 'No tenants.');
        return undefined;
      }),
    );
  tenants
    .command('create <name>')
    .description('make a tenant')
    .option('--display-name <text>', 'name for people (default: the name)')
    .addOption(idempotencyOption())
    .action((name: string, options: { displayName?: string; idempotencyKey?: string }, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const tenant = await gateway.call('tenants.create', {
          name,
          ...given({ displayName: options.displayName, idempotencyKey: options.idempotencyKey }),
        });
        printer.answer(tenant, () => printer.line(`Tenant ${tenant.name} is made.`));
        return undefined;
      }),
    );
  return tenants;
}
