import { Command, InvalidArgumentError } from 'commander';
import { type AuditChaosArguments, auditChaosCommand } from './audit/arguments.js';

export interface ChaosArguments {
  readonly minutes: number;
  readonly faults?: number;
  readonly seed: number;
  readonly hosts: number;
  readonly bots: number;
  readonly schedulers: number;
  readonly pairs: number;
  /** T of the leases, milliseconds. */
  readonly ttl: number;
  readonly state: string;
  readonly json: boolean;
  readonly keep: boolean;
  readonly selfTest: boolean;
  /** Where it is not possible, that is no failure, unless `CI` is set. */
  readonly optional: boolean;
}

const exit_wrong_usage = 2;
const seed_end = 2 ** 32;
/** So long that the bot whose account was given away still trades when the next one begins, on a slow machine too. */
const self_test_ttl_ms = 40_000;

export function commandLine(
  action: (options: ChaosArguments) => Promise<void>,
  auditAction: (options: AuditChaosArguments) => Promise<void>,
): Command {
  const program = new Command('chaos')
    // An option after the name of a command is the command's.
    .enablePositionalOptions()
    .description(
      'Breaks a fleet of real parts, over and over, and has a broker say whether two bots ever traded one account.',
    )
    .showHelpAfterError()
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : exit_wrong_usage))
    .option('--minutes <n>', 'make faults for as long (0.5 to 1440)', number(0.5, 1440), 10)
    .option(
      '--faults <n>',
      'end after as many faults (1 to 100000); it is a failure when the minutes are over sooner',
      integer(1, 100_000),
    )
    .option(
      '--seed <n>',
      'the same seed draws the same faults; without one it is drawn and printed',
      integer(0, seed_end - 1),
    )
    .option('--hosts <n>', 'engines and agents, each in a network of its own (2 to 6)', integer(2, 6), 3)
    .option('--bots <n>', 'bots that trade (1 to 40)', integer(1, 40), 6)
    .option('--schedulers <n>', 'one leads, the others stand by (1 to 3)', integer(1, 3), 2)
    .option('--pairs <part>', 'how often there are two faults at once (0 to 1)', number(0, 1), 0.6)
    .option('--ttl <ms>', 'how long a lease lasts (5000 to 60000)', integer(5000, 60_000), 6000)
    .option(
      '--state <folder>',
      'where logs and everything else are kept, from the repository',
      '.tradefleet/chaos',
    )
    .option('--keep', 'leave databases and keys in the state folder at the end, too', false)
    .option('--json', 'the result as JSON on stdout; progress goes to stderr', false)
    .option('--self-test', 'break the rules on purpose: the overlaps must be found', false)
    .option('--optional', 'where it is not possible, say so and end with 0, unless CI is set', false)
    .addHelpText(
      'after',
      `
Needs Linux, root, network namespaces, iptables and a Docker Engine; without them it ends with 78.
Exit codes: 0 all held · 1 an overlap, a lost event, a wait too short, or something that did not recover
            2 wrong usage · 78 not possible on this machine · 130 interrupted`,
    )
    .action(async (options: Omit<ChaosArguments, 'seed'> & { seed?: number }) => {
      const ttl = options.selfTest ? Math.max(options.ttl, self_test_ttl_ms) : options.ttl;
      await action({ ...options, ttl, seed: options.seed ?? Date.now() % seed_end });
    });
  auditChaosCommand(program.command('audit'), integer, seed_end, auditAction);
  return program;
}

function number(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!(value >= least && value <= most))
      throw new InvalidArgumentError(`must be a number from ${least} to ${most}`);
    return value;
  };
}

function integer(least: number, most: number): (text: string) => number {
  const parse = number(least, most);
  return (text) => {
    const value = parse(text);
    if (!Number.isInteger(value)) throw new InvalidArgumentError('must be a whole number');
    return value;
  };
}
