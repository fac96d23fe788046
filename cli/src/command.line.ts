import { Command } from 'commander';
import { accountsCommand } from './commands/accounts.command.js';
import { apiCommand } from './commands/api.command.js';
import { applyCommand } from './commands/apply.command.js';
import { auditCommand } from './commands/audit.command.js';
import { botsCommand } from './commands/bots.command.js';
import { credentialsCommand } from './commands/credentials.command.js';
import { eventsCommand } from './commands/events.command.js';
import { hostsCommand } from './commands/hosts.command.js';
import { logsCommand } from './commands/logs.command.js';
import { movesCommand } from './commands/moves.command.js';
import { operationsCommand } from './commands/operations.command.js';
import { planCommand } from './commands/plan.command.js';
import { rebalanceCommand } from './commands/rebalance.command.js';
import { rolloutsCommand } from './commands/rollouts.command.js';
import { statusCommand } from './commands/status.command.js';
import { tenantsCommand } from './commands/tenants.command.js';
import { type ExitCode, exitCodesHelp } from './exit.codes.js';
import { performer } from './session.js';
import type { Surroundings } from './surroundings.js';

/** All commands. `end` is told the exit code of the one that ran. */
export function commandLine(surroundings: Surroundings, end: (code: ExitCode) => void): Command {
  const perform = performer(surroundings, end);
  const program = new Command('tradefleet')
    .description('Operate a fleet of trading bots through its gateway.')
    .option(
      '--gateway <url>',
      "address of the gateway (env TRADEFLEET_GATEWAY_URL; default: the local fleet's)",
    )
    .option(
      '--token-file <file>',
      "file with the admin token (env TRADEFLEET_TOKEN_FILE; default: the local fleet's)",
    )
    .option('--json', 'for machines: one JSON document a line', false)
    .addHelpText('afterAll', exitCodesHelp);
  for (const make of [
    statusCommand,
    planCommand,
    applyCommand,
    botsCommand,
    accountsCommand,
    tenantsCommand,
    credentialsCommand,
    hostsCommand,
    movesCommand,
    rebalanceCommand,
    rolloutsCommand,
    operationsCommand,
    eventsCommand,
    auditCommand,
    logsCommand,
    apiCommand,
  ])
    program.addCommand(make(perform));
  settle(program, surroundings);
  return program;
}

/** Settings that subcommands made apart do not inherit: output, help, and errors instead of an exit. */
function settle(command: Command, surroundings: Surroundings): void {
  command
    .exitOverride()
    .configureOutput({
      writeOut: (text) => surroundings.stdout.write(text),
      writeErr: (text) => surroundings.stderr.write(text),
      getOutHelpWidth: () => surroundings.stdout.columns ?? 100,
      getErrHelpWidth: () => surroundings.stderr.columns ?? 100,
    })
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError('Add --help for the options and examples.');
  for (const below of command.commands) settle(below, surroundings);
}
