import { Command } from 'commander';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { UsageError } from '../exit.codes.js';
import { askPassword } from '../prompts/password.prompt.js';
import type { Perform } from '../session.js';
import type { Surroundings } from '../surroundings.js';

const file_bytes_max = 1024;

/** A password comes from a terminal or a file: an argument would be seen by everyone on the machine. */
export function credentialsCommand(perform: Perform): Command {
  const credentials = new Command('credentials').description("an account's password at its broker");
  credentials
    .command('set <account>')
    .description('store the password; asks for it, never as an argument')
    .option('--password-file <file>', 'take it from the first line of this file (mode 0600) instead')
    .action((account: string, options: { passwordFile?: string }, command: Command) =>
      perform(command, async ({ gateway, printer, surroundings }) => {
        const { passwordFile } = options;
        const password =
          passwordFile === undefined
            ? await askTwice(account, surroundings)
            : readPassword(resolve(surroundings.cwd, passwordFile));
        await gateway.setPassword(account, password);
        const status = await gateway.call('credentials.status', { account });
        printer.answer(status, () =>
          printer.line(`The password of ${account} is stored (version ${status.version}).`),
        );
        return undefined;
      }),
    );
  credentials
    .command('status <account>')
    .description('when the password was set and last given out; never the password')
    .action((account: string, _options: object, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const status = await gateway.call('credentials.status', { account });
        printer.answer(status, () =>
          printer.sheet([
            ['account', status.account],
            ['version', status.version],
            ['set', `${status.updatedAt} by ${status.updatedBy}`],
            ['last granted', status.lastGrantedAt],
          ]),
        );
        return undefined;
      }),
    );
  return credentials;
}

async function askTwice(account: string, surroundings: Surroundings): Promise<string> {
  const password = await askPassword(`Password of ${account}: `, surroundings);
  if (password === '') throw new UsageError('Nothing was typed; nothing has been changed.');
  if ((await askPassword('Once more: ', surroundings)) !== password)
    throw new UsageError('The two were not the same; nothing has been changed.');
  return password;
}

function readPassword(path: string): string {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw new UsageError(`The password file ${path} cannot be read (${code}).`, { cause: error });
  }
  try {
    const { mode, size } = fstatSync(file);
    if ((mode & 0o077) !== 0) throw new UsageError(`Run chmod 600 ${path}: others can read the password.`);
    if (size > file_bytes_max) throw new UsageError(`${path} is too large for a password.`);
    const [password = ''] = readFileSync(file, 'utf8').split(/\r?\n/);
    if (password === '') throw new UsageError(`The first line of ${path} is empty.`);
    return password;
  } finally {
    closeSync(file);
  }
}
