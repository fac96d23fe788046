import { Command } from 'commander';
import { exitCodes, UsageError } from '../exit.codes.js';
import { given } from '../option.values.js';
import { showEvent } from '../output/views.js';
import { confirmed } from '../prompts/confirmation.js';
import type { Perform, Session } from '../session.js';

const page_events = 500;

/** A name as events show it, or the id that stands in records. */
function whom(text: string | undefined, subject: string | undefined): { name: string } | { subject: string } {
  if ((text === undefined) === (subject === undefined))
    throw new UsageError('Give either a name, such as user:ada, or --subject <id>.');
  return subject === undefined ? { name: text ?? '' } : { subject };
}

/** `tradefleet audit erase` */
export function eraseCommand(perform: Perform): Command {
  return new Command('erase')
    .argument('[name]', 'as events show it, e.g. user:ada or ip:192.0.2.7')
    .description('make the personal values of one person in the audit log unreadable, for good')
    .option('--subject <id>', 'by the id that stands in records, instead of the name')
    .requiredOption('--reason <text>', 'why; kept in the audit log, so it should not name the person')
    .option('-y, --yes', 'do not ask; needed without a terminal', false)
    .action(
      (
        name: string | undefined,
        options: { subject?: string; reason: string; yes: boolean },
        command: Command,
      ) =>
        perform(command, async ({ gateway, printer, surroundings }) => {
          const request = { ...whom(name, options.subject), reason: options.reason };
          const { stdin, stderr } = surroundings;
          if (!options.yes && !(stdin.isTTY === true && stderr.isTTY === true))
            throw new UsageError('Give --yes: there is no terminal to ask whether this is meant.');
          const question = `Erase ${name ?? options.subject ?? ''}? There is no way back.`;
          if (!options.yes && !(await confirmed(question, surroundings))) {
            printer.note('Nothing has been erased.');
            return exitCodes.problem;
          }
          const erased = await gateway.call('subjects.erase', request);
          printer.answer(erased, () => {
            for (const { subject, records } of erased.subjects)
              printer.line(
                `Erased ${subject}: personal values of ${records} records are readable to nobody.`,
              );
          });
          return undefined;
        }),
    );
}

/** `tradefleet audit subject` */
export function subjectCommand(perform: Perform): Command {
  return new Command('subject')
    .argument('[name]', 'as events show it, e.g. user:ada or ip:192.0.2.7')
    .description('read what the audit log holds of one person; with --json a line for each event')
    .option('--subject <id>', 'by the id that stands in records, instead of the name')
    .action((name: string | undefined, options: { subject?: string }, command: Command) =>
      perform(command, async (session) => {
        await printSubject(whom(name, options.subject), session);
        return undefined;
      }),
    );
}

async function printSubject(
  request: { name: string } | { subject: string },
  { gateway, printer }: Pick<Session, 'gateway' | 'printer'>,
): Promise<void> {
  let after: string | null = null;
  do {
    const page: { events: Parameters<typeof showEvent>[1][]; next: string | null } = await gateway.call(
      'subjects.export',
      { ...request, limit: page_events, ...given({ after: after ?? undefined }) },
    );
    for (const event of page.events)
      if (printer.json) printer.document(event);
      else showEvent(printer, event);
    after = page.next;
  } while (after !== null);
}
