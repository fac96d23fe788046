import { Command } from 'commander';
import { UsageError } from '../exit.codes.js';
import { generationOption, given, idempotencyOption, integer, limitOption } from '../option.values.js';
import { tenantSheet, tenantView } from '../output/views.js';
import type { Perform } from '../session.js';

interface UpdateOptions {
  readonly displayName?: string;
  readonly quotaBots?: Quota;
  readonly quotaCpuMillis?: Quota;
  readonly quotaMemoryMib?: Quota;
  readonly priority?: number;
  readonly generation?: number;
  readonly idempotencyKey?: string;
}

/** A whole number, or `none`. */
const quota = (most: number) => (text: string) => (text === 'none' ? text : integer(0, most)(text));
type Quota = number | 'none' | undefined;
const quotaOf = (option: Quota) => (option === 'none' ? null : option);

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
    .command('get <name>')
    .description('show a tenant, its quotas and what it uses of them')
    .action((name: string, _options: object, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const tenant = await gateway.call('tenants.get', { name });
        printer.answer(tenant, () => printer.sheet(tenantSheet(tenant)));
        return undefined;
      }),
    );
  tenants
    .command('update <name>')
    .description('change what is given; a quota below what is used stops nothing')
    .option('--display-name <text>', 'name for people')
    .option('--quota-bots <n>', 'bots that should run, at most; none for no bound', quota(1_000_000))
    .option('--quota-cpu-millis <n>', 'CPU of these together; none for no bound', quota(2_000_000_000))
    .option('--quota-memory-mib <n>', 'memory of these together; none for no bound', quota(2_000_000_000))
    .option('--priority <n>', 'added to that of its bots while they wait for room', integer(0, 100))
    .addOption(generationOption())
    .addOption(idempotencyOption())
    .action((name: string, options: UpdateOptions, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const { displayName, priority, generation: expectedGeneration, idempotencyKey } = options;
        const quotas = given({
          bots: quotaOf(options.quotaBots),
          cpuMillis: quotaOf(options.quotaCpuMillis),
          memoryMiB: quotaOf(options.quotaMemoryMib),
        });
        const changes = {
          ...(Object.keys(quotas).length === 0 ? {} : { quotas }),
          ...given({ displayName, priority }),
        };
        if (Object.keys(changes).length === 0) throw new UsageError('Say what is to be changed.');
        const tenant = await gateway.call('tenants.update', {
          name,
          ...changes,
          ...given({ expectedGeneration, idempotencyKey }),
        });
        printer.answer(tenant, () => printer.sheet(tenantSheet(tenant)));
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
