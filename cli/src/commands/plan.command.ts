import { Command } from 'commander';
import { readManifest } from '../manifest/manifest.file.js';
import { showChanges } from '../output/views.js';
import type { Perform } from '../session.js';

export function planCommand(perform: Perform): Command {
  return new Command('plan')
    .argument('<file>', 'manifest in YAML or JSON; - for standard input')
    .description('show what a manifest would change; changes nothing')
    .action((path: string, _options: object, command: Command) =>
      perform(command, async ({ gateway, printer, surroundings }) => {
        const { manifest, located } = await readManifest(path, surroundings);
        try {
          const plan = await gateway.call('fleet.plan', { manifest });
          printer.answer(plan, () => showChanges(printer, plan.changes, plan.unchanged));
        } catch (error) {
          throw located(error);
        }
        return undefined;
      }),
    );
}
