import { RuntimeRef } from '#libs/contracts';
import { Command, InvalidArgumentError, Option } from 'commander';

/** Where the state is unless told otherwise, from the repository. */
export const stateDefault = '.tradefleet';

export interface CommonArguments {
  readonly state: string;
}

export interface StartArguments extends CommonArguments {
  readonly driver: 'docker' | 'process' | 'simulated';
  readonly hosts: number;
  /** One leads, the others stand by. */
  readonly schedulers: number;
  /** What agents offer besides the default: by runtime and version, an image, a supervisor.py, `runs` or `exits`. */
  readonly offer: Readonly<Record<string, string>>;
  readonly detach: boolean;
  readonly manifest: string;
  readonly gatewayPort?: number;
  readonly natsPort?: number;
  readonly postgresPort?: number;
}

export interface Actions {
  readonly start: (options: StartArguments) => Promise<void>;
  readonly stop: (options: CommonArguments) => Promise<void>;
  readonly status: (options: CommonArguments & { json: boolean }) => Promise<void>;
}

/** The command line of `npm start`, `npm stop` and `npm run status`. */
export function commandLine(actions: Actions): Command {
  const program = new Command('tradefleet-local')
    .description('The whole fleet on this machine: NATS, Postgres, five services and an agent for each host.')
    .showHelpAfterError();
  program
    .command('start')
    .description('bring up the fleet, run the bots of the manifest, and stay until Ctrl-C')
    .addOption(
      new Option('--driver <driver>', 'how agents run bots; process and simulated need no Docker')
        .choices(['docker', 'process', 'simulated'])
        .default('docker')
        .env('TRADEFLEET_DRIVER'),
    )
    .option('--hosts <n>', 'agents to run, as host-a, host-b, ... (1 to 20)', integer(1, 20), 2)
    .option('--schedulers <n>', 'schedulers to run, of which one leads (1 to 3)', integer(1, 3), 1)
    .option(
      '--offer <ref=what>',
      'a version agents offer besides, e.g. paper@v2=<image> (process: <supervisor.py>; simulated: runs or exits; repeatable)',
      offered,
      {},
    )
    .option('--detach', 'return once the bots run; npm stop ends it', false)
    .option(
      '--manifest <file>',
      'what to run at the first start or when it has changed',
      'deploy/examples/fleet.yaml',
    )
    .option('--gateway-port <port>', 'port of the HTTP gateway on 127.0.0.1', integer(1, 65_535))
    .option('--nats-port <port>', 'port of NATS on 127.0.0.1', integer(1, 65_535))
    .option('--postgres-port <port>', 'port of Postgres on 127.0.0.1', integer(1, 65_535))
    .addOption(stateOption())
    .action((options: StartArguments) => actions.start(options));
  program
    .command('stop')
    .description('stop the fleet and everything it started')
    .addOption(stateOption())
    .action((options: CommonArguments) => actions.stop(options));
  program
    .command('status')
    .description('show what runs')
    .option('--json', 'as JSON', false)
    .addOption(stateOption())
    .action((options: CommonArguments & { json: boolean }) => actions.status(options));
  return program;
}

const stateOption = (): Option =>
  new Option('--state <folder>', 'where everything is kept, from the repository').default(stateDefault);

/** Collects `paper@v2=<what>`. */
function offered(text: string, before: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const at = text.indexOf('=');
  const ref = RuntimeRef.safeParse(text.slice(0, Math.max(at, 0)));
  if (!ref.success || at === text.length - 1)
    throw new InvalidArgumentError('must be <runtime>@<version>=<what stands behind it>');
  return { ...before, [ref.data]: text.slice(at + 1) };
}

function integer(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least || value > most)
      throw new InvalidArgumentError(`must be a whole number from ${least} to ${most}`);
    return value;
  };
}
