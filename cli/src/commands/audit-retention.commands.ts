import { resolve } from 'node:path';
import { ArchiveInvalid, checkArchive } from '#libs/archive';
import { RetentionClass, type RetentionRun } from '#libs/contracts';
import { openCheckpoint, readPublicKey, toKeyObject } from '#libs/evidence';
import { Command, Option } from 'commander';
import { type ExitCode, exitCodes, UsageError } from '../exit.codes.js';
import { given, integer, limitOption } from '../option.values.js';
import { archiveView, partitionView, stepView } from '../output/retention.views.js';
import { confirmed } from '../prompts/confirmation.js';
import type { Perform, Session } from '../session.js';

const between_looks_ms = 500;

const classOption = (): Option =>
  new Option('--class <class>', 'of this class only').choices(RetentionClass.options);

interface RunOptions {
  readonly class?: RetentionClass;
  readonly dryRun: boolean;
  readonly yes: boolean;
  readonly timeout: number;
}

/** `tradefleet audit retention` */
export function retentionCommand(perform: Perform): Command {
  const retention = new Command('retention').description(
    'archive and drop what no longer has to be kept, by class and month',
  );
  for (const make of [planCommand, runCommand, showCommand, archivesCommand, checkCommand])
    retention.addCommand(make(perform));
  return retention;
}

function planCommand(perform: Perform): Command {
  return new Command('plan')
    .description('what there is, when it is due, and what holds it; changes nothing')
    .addOption(classOption())
    .option('--due', 'only what is due', false)
    .action((options: { class?: RetentionClass; due: boolean }, command: Command) =>
      perform(command, async (session) => {
        await showPlan(options, session);
        return undefined;
      }),
    );
}

async function showPlan(
  options: { class?: RetentionClass | undefined; due: boolean },
  { gateway, printer }: Pick<Session, 'gateway' | 'printer'>,
): Promise<number> {
  const plan = await gateway.call('retention.plan', { due: options.due, ...given({ class: options.class }) });
  printer.answer(plan, () => {
    const { columns, cells } = partitionView;
    printer.rows(plan.partitions, columns, cells, options.due ? 'Nothing is due.' : 'Nothing is kept.');
    if (plan.obstacle !== null) printer.note(plan.obstacle);
  });
  return plan.partitions.filter(({ state }) => state === 'due' || state === 'archived').length;
}

function runCommand(perform: Perform): Command {
  return new Command('run')
    .description('archive what is due and drop it from the database: shows the plan, asks, waits for the end')
    .addOption(classOption())
    .option('--dry-run', 'only show what is due', false)
    .option('-y, --yes', 'do not ask; needed without a terminal', false)
    .addOption(
      new Option('--timeout <s>', 'longest wait in seconds').default(3600).argParser(integer(1, 86_400)),
    )
    .action((options: RunOptions, command: Command) =>
      perform(command, async (session) => await carryOut(options, session)),
    );
}

async function carryOut(options: RunOptions, session: Session): Promise<ExitCode | undefined> {
  const { gateway, printer, surroundings } = session;
  const { stdin, stderr } = surroundings;
  const mayAsk = !printer.json && stdin.isTTY === true && stderr.isTTY === true;
  if (!options.dryRun && !options.yes && !mayAsk)
    throw new UsageError('Give --yes: there is no terminal to ask whether the plan is right.');
  if (options.dryRun || !printer.json) {
    const due = await showPlan({ class: options.class, due: true }, session);
    if (options.dryRun || due === 0) return undefined;
    const question = `Archive ${due} partitions and drop them from the database?`;
    if (!options.yes && !(await confirmed(question, surroundings))) {
      printer.note('Nothing has been changed.');
      return exitCodes.problem;
    }
  }
  const run = await gateway.call('retention.run', given({ class: options.class }));
  return await waitForRun(run, options.timeout, session);
}

async function waitForRun(
  begun: RetentionRun,
  timeout_s: number,
  { gateway, printer, surroundings: { clock, interrupted } }: Session,
): Promise<ExitCode | undefined> {
  const end_ms = clock.monotonicMs() + timeout_s * 1000;
  let run = begun;
  while (run.state === 'running') {
    if (clock.monotonicMs() > end_ms) {
      printer.note(`It goes on. Look again with: tradefleet audit retention show ${run.id}`);
      return exitCodes.timeout;
    }
    printer.progress(`${run.steps.length} steps done`);
    await clock.sleep(between_looks_ms, interrupted);
    run = await gateway.call('retention.get', { id: run.id });
  }
  return showRun(run, printer);
}

function showRun(run: RetentionRun, printer: Session['printer']): ExitCode | undefined {
  printer.answer(run, () => {
    printer.rows(run.steps, stepView.columns, stepView.cells, 'Nothing was to be done.');
    if (run.detail !== null) printer.note(run.detail);
  });
  return run.state === 'failed' ? exitCodes.operationFailed : undefined;
}

function showCommand(perform: Perform): Command {
  return new Command('show')
    .argument('<id>')
    .description('how far a run is')
    .action((id: string, _: unknown, command: Command) =>
      perform(command, async ({ gateway, printer }) =>
        showRun(await gateway.call('retention.get', { id }), printer),
      ),
    );
}

function archivesCommand(perform: Perform): Command {
  return new Command('archives')
    .description('what is archived, newest first')
    .addOption(classOption())
    .addOption(limitOption(100))
    .action((options: { class?: RetentionClass; limit: number }, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const request = given({ class: options.class });
        const rows = await gateway.list('archives.list', 'archives', request, options.limit);
        printer.rows(rows, archiveView.columns, archiveView.cells, 'Nothing is archived.');
        return undefined;
      }),
    );
}

function checkCommand(perform: Perform): Command {
  return new Command('check')
    .argument('<file>', 'an archive')
    .description("prove an archive against the signed checkpoint in it; needs the log's key and no fleet")
    .requiredOption('--key <file>', 'public key of the log, as JWK')
    .action((file: string, options: { key: string }, command: Command) =>
      perform(command, async ({ printer, surroundings: { cwd } }) => {
        const key = toKeyObject(await readPublicKey(resolve(cwd, options.key)));
        try {
          const { head, checkpoint, first, last } = await checkArchive(resolve(cwd, file), {
            openNote: (note, origin) => openCheckpoint(note, origin, key),
          });
          const { class: name, month, records, origin } = head;
          const found = { origin, class: name, month, records, first, last, checkpointSize: checkpoint.size };
          printer.answer(found, () =>
            printer.line(
              `${records} records of ${name} ${month} are in ${origin} as its checkpoint of ${checkpoint.size} records says.`,
              'good',
            ),
          );
          return undefined;
        } catch (error) {
          if (!(error instanceof ArchiveInvalid)) throw error;
          printer.note(error.message);
          return exitCodes.problem;
        }
      }),
    );
}
