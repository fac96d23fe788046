import { api, type ApiName, apiNames } from '#libs/contracts';
import { Argument, Command } from 'commander';
import { UsageError } from '../exit.codes.js';
import type { Perform } from '../session.js';

/** Its password would stand in the arguments, where everyone on the machine sees it. */
const without: ReadonlySet<ApiName> = new Set(['credentials.set']);
const names = apiNames.filter((name) => !without.has(name));

export function apiCommand(perform: Perform): Command {
  return new Command('api')
    .addArgument(new Argument('<operation>', 'e.g. bots.get').choices(names))
    .argument('[json]', 'its request', '{}')
    .description('send any operation as it is, and print the answer as JSON')
    .addHelpText(
      'after',
      `\nOperations:\n${names.map((name) => `  ${name.padEnd(20)} ${api[name].summary}`).join('\n')}`,
    )
    .action((name: ApiName, json: string, _options: object, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        printer.document(await gateway.call(name, requestOf(json)));
        return undefined;
      }),
    );
}

function requestOf(json: string): object {
  let request: unknown;
  try {
    request = JSON.parse(json);
  } catch (error) {
    throw new UsageError(`The request is not JSON: ${(error as Error).message}.`, { cause: error });
  }
  if (typeof request !== 'object' || request === null || Array.isArray(request))
    throw new UsageError('The request must be a JSON object, such as {"name":"acme-trend"}.');
  return request;
}
