import { OperationState } from '#libs/contracts';
import { Command, Option } from 'commander';
import { waitForOperation, wait_s_default } from '../operation.waiter.js';
import { given, integer, limitOption } from '../option.values.js';
import { operationView, showOperation } from '../output/views.js';
import type { Perform } from '../session.js';

export function operationsCommand(perform: Perform): Command {
  const operations = new Command('operations').description('what became of accepted changes');
  operations
    .command('list')
    .description('list operations, newest first')
    .addOption(new Option('--state <state>', 'in this state only').choices(OperationState.options))
    .addOption(limitOption(50))
    .action((options: { state?: OperationState; limit: number }, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const filter = given({ state: options.state });
        const rows = await gateway.list('operations.list', 'operations', filter, options.limit);
        printer.rows(rows, operationView.columns, operationView.cells, 'No operations.');
        return undefined;
      }),
    );
  operations
    .command('get <id>')
    .description('show an operation')
    .action((id: string, _options: object, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const operation = await gateway.call('operations.get', { id });
        printer.answer(operation, () => showOperation(printer, operation));
        return undefined;
      }),
    );
  operations
    .command('wait <id>')
    .description('wait until an operation has ended; exit code 4 when it failed')
    .option('--timeout <s>', 'longest wait in seconds', integer(1, 86_400), wait_s_default)
    .action((id: string, options: { timeout: number }, command: Command) =>
      perform(command, (session) => waitForOperation(id, options.timeout, session)),
    );
  return operations;
}
