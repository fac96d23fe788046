import { Command, InvalidArgumentError } from 'commander';
import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { UsageError } from '../exit.codes.js';
import { collect, generationOption, given, idempotencyOption, integer } from '../option.values.js';
import type { Perform } from '../session.js';

interface WriteOptions {
  readonly generation?: number;
  readonly idempotencyKey?: string;
}

/** `hosts invite`: the token is shown once, or goes straight into a file that only its owner can read. */
export function inviteCommand(perform: Perform): Command {
  return new Command('invite')
    .argument('<name>')
    .description('make a token with which an agent can join as this host, once')
    .option('--ttl <s>', 'how long the token is good, in seconds', integer(10, 604_800), 900)
    .option('--replace-key', 'for a known host whose machine was installed anew; it must be down', false)
    .option('--save <file>', 'write the token into this new file (mode 0600) instead of showing it')
    .addOption(idempotencyOption())
    .action(
      (
        name: string,
        options: { ttl: number; replaceKey: boolean; save?: string; idempotencyKey?: string },
        command: Command,
      ) =>
        perform(command, async ({ gateway, printer, surroundings }) => {
          const { ttl, replaceKey, save, idempotencyKey } = options;
          const file = save === undefined ? undefined : NewFile.open(resolve(surroundings.cwd, save));
          try {
            const request = { name, ttlMs: ttl * 1000, replaceKey, ...given({ idempotencyKey }) };
            const invited = await gateway.call('hosts.invite', request);
            const { token, expiresAt } = invited;
            if (token === null)
              throw new UsageError(
                'This invitation was answered before, and its token is shown once. Invite again, without --idempotency-key.',
              );
            file?.write(`${token}\n`);
            printer.answer(file === undefined ? invited : { ...invited, token: null }, () => {
              printer.line(
                `Host ${name} can join until ${expiresAt}: give its agent TRADEFLEET_JOIN_TOKEN_FILE.`,
              );
              printer.line(file === undefined ? token : `The token is in ${file.path}.`);
            });
          } finally {
            file?.close();
          }
          return undefined;
        }),
    );
}

/** `hosts remove` */
export function removeCommand(perform: Perform): Command {
  return new Command('remove')
    .argument('<name>')
    .description('forget a host that is down and has nothing')
    .option('--reason <text>', 'why; kept in the audit log')
    .addOption(generationOption())
    .addOption(idempotencyOption())
    .action((name: string, options: WriteOptions & { reason?: string }, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const { reason, generation: expectedGeneration, idempotencyKey } = options;
        const optional = given({ reason, expectedGeneration, idempotencyKey });
        const host = await gateway.call('hosts.remove', { name, ...optional });
        printer.answer(host, () => printer.line(`Host ${host.name} is removed.`));
        return undefined;
      }),
    );
}

/** `hosts label` */
export function labelCommand(perform: Perform): Command {
  return new Command('label')
    .argument('<name>')
    .description("give a host labels that win over its agent's, or take such away")
    .option('--set <label=value>', 'give it this label (repeatable)', collect(label))
    .option('--unset <label>', 'take away a label given before (repeatable)', collect(String))
    .addOption(generationOption())
    .addOption(idempotencyOption())
    .action(
      (
        name: string,
        options: WriteOptions & { set?: (readonly [string, string])[]; unset?: string[] },
        command: Command,
      ) =>
        perform(command, async ({ gateway, printer }) => {
          const { set = [], unset = [], generation: expectedGeneration, idempotencyKey } = options;
          if (set.length + unset.length === 0) throw new UsageError('Give --set or --unset.');
          const host = await gateway.call('hosts.label', {
            name,
            set: Object.fromEntries(set),
            unset,
            ...given({ expectedGeneration, idempotencyKey }),
          });
          printer.answer(host, () =>
            printer.line(`Host ${host.name} has the labels ${JSON.stringify(host.labels)}.`),
          );
          return undefined;
        }),
    );
}

function label(text: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) throw new InvalidArgumentError('It must be <label>=<value>.');
  return [text.slice(0, at), text.slice(at + 1)];
}

/** A file that was not there; gone again unless it was written. Opened before what goes into it is asked for. */
class NewFile {
  private written = false;

  private constructor(
    readonly path: string,
    private readonly file: number,
  ) {}

  static open(path: string): NewFile {
    try {
      return new NewFile(path, openSync(path, 'wx', 0o600));
    } catch (error) {
      const { code = 'unknown' } = error as NodeJS.ErrnoException;
      throw new UsageError(`The file ${path} cannot be made (${code}).`, { cause: error });
    }
  }

  write(text: string): void {
    writeSync(this.file, text);
    this.written = true;
  }

  close(): void {
    closeSync(this.file);
    if (!this.written) unlinkSync(this.path);
  }
}
