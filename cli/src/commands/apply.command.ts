import type { FleetPlanned } from '#libs/contracts';
import { Command } from 'commander';
import { type ExitCode, exitCodes, UsageError } from '../exit.codes.js';
import { type ManifestFile, readManifest } from '../manifest/manifest.file.js';
import { waitForOperation } from '../operation.waiter.js';
import { given, idempotencyOption, waitOptions } from '../option.values.js';
import { showChanges } from '../output/views.js';
import { confirmed } from '../prompts/confirmation.js';
import type { Perform, Session } from '../session.js';

interface ApplyOptions {
  readonly yes: boolean;
  readonly wait: boolean;
  readonly timeout: number;
  readonly idempotencyKey?: string;
}

export function applyCommand(perform: Perform): Command {
  const apply = new Command('apply')
    .argument('<file>', 'manifest in YAML or JSON; - for standard input')
    .description(
      'make the fleet what a manifest says: shows the plan, asks, and carries it out whole or not at all',
    )
    .option('-y, --yes', 'do not ask; needed without a terminal', false)
    .addOption(idempotencyOption());
  for (const option of waitOptions()) apply.addOption(option);
  return apply.action((path: string, options: ApplyOptions, command: Command) =>
    perform(command, async (session) => {
      const { stdin, stderr } = session.surroundings;
      const mayAsk = stdin.isTTY === true && stderr.isTTY === true && path !== '-';
      if (!options.yes && !mayAsk)
        throw new UsageError('Give --yes: there is no terminal to ask whether the plan is right.');
      const file = await readManifest(path, session.surroundings);
      try {
        return await applyFile(file, options, session);
      } catch (error) {
        throw file.located(error);
      }
    }),
  );
}

async function applyFile(
  { manifest }: ManifestFile,
  options: ApplyOptions,
  session: Session,
): Promise<ExitCode | undefined> {
  const { gateway, printer, surroundings } = session;
  const plan: FleetPlanned = await gateway.call('fleet.plan', { manifest });
  // With --json the plan is part of the answer; whoever is asked sees it all the same.
  if (!printer.json) showChanges(printer, plan.changes, plan.unchanged);
  if (plan.changes.length === 0) {
    if (printer.json) printer.document({ operation: null, changes: [] });
    return undefined;
  }
  if (!options.yes && !(await confirmed(`Carry out ${plan.changes.length} changes?`, surroundings))) {
    printer.note('Nothing has been changed.');
    return exitCodes.problem;
  }
  const applied = await gateway.call('fleet.apply', {
    manifest,
    version: plan.version,
    ...given({ idempotencyKey: options.idempotencyKey }),
  });
  printer.answer(applied, () => printer.line(`Accepted: operation ${applied.operation}`));
  return options.wait ? waitForOperation(applied.operation, options.timeout, session) : undefined;
}
