import type { ApiRequest } from '#libs/contracts';
import { Stage } from '#libs/contracts';
import { type Command, Option } from 'commander';
import { UsageError } from '../exit.codes.js';
import { collect, duration, given, integer, parameter, type ParameterValue } from '../option.values.js';

/** What is to be rolled out, to whom and how, as the command line says it. */
export interface RolloutCommandOptions {
  readonly tenant?: string;
  readonly bot?: string[];
  readonly runtime?: 'paper' | 'mt5';
  readonly fromVersion?: string;
  readonly fromDefaultVersion: boolean;
  readonly includeStopped: boolean;
  readonly version?: string;
  readonly defaultVersion: boolean;
  readonly param?: (readonly [string, ParameterValue])[];
  readonly unsetParam?: string[];
  readonly cpuMillis?: number;
  readonly memoryMib?: number;
  readonly pids?: number;
  readonly stageTimeout?: number;
  readonly stopGrace?: number;
  readonly canary?: number;
  readonly batch?: number;
  readonly healthy?: number;
  readonly healthStage?: Stage;
  readonly deadline?: number;
  readonly autoRevert: boolean;
  readonly failuresTolerated?: number;
  readonly restartsTolerated?: number;
}

/** The options of `plan` and `start`, which are the same. */
export function withRollout(command: Command): Command {
  return withCare(withChange(withSelector(command)));
}

const withSelector = (command: Command): Command =>
  command
    .option('--tenant <name>', 'bots of this tenant')
    .option('--bot <name>', 'this bot (repeatable)', collect(String))
    .addOption(new Option('--runtime <name>', 'bots of this runtime').choices(['paper', 'mt5']))
    .option('--from-version <version>', 'bots that run this version now')
    .addOption(
      new Option('--from-default-version', "bots that run their host's default image now")
        .default(false)
        .conflicts('fromVersion'),
    )
    .option('--include-stopped', 'bots that should not run too', false);

const withChange = (command: Command): Command =>
  command
    .option('--version <version>', 'run this version')
    .addOption(
      new Option('--default-version', "run the host's default image").default(false).conflicts('version'),
    )
    .option('--param <name=value>', 'set a parameter of the strategy (repeatable)', collect(parameter))
    .option('--unset-param <name>', 'take a parameter away (repeatable)', collect(String))
    .option('--cpu-millis <n>', 'thousandths of a CPU', integer(1, 64_000))
    .option('--memory-mib <n>', 'memory', integer(1, 262_144))
    .option('--pids <n>', 'processes and threads at most', integer(1, 4096))
    .option('--stage-timeout <duration>', 'longest a readiness stage may take', duration)
    .option('--stop-grace <duration>', 'from the request to stop until the kill', duration);

const withCare = (command: Command): Command =>
  command
    .option('--canary <n>', 'bots changed first, on their own (default 1)', integer(0, 100))
    .option('--batch <n>', 'bots changed at a time (default 5)', integer(1, 100))
    .option(
      '--healthy <duration>',
      'ready without a break until it counts as healthy (default 30s)',
      duration,
    )
    .addOption(
      new Option('--health-stage <stage>', 'stage that counts as ready (default: the last)').choices(
        Stage.options,
      ),
    )
    .option('--deadline <duration>', 'longest for a batch to become healthy (default 10m)', duration)
    .option('--no-auto-revert', 'leave changed bots as they are when it fails')
    .option('--failures-tolerated <n>', 'bots that may fail, canaries excepted (default 0)', integer(0, 1000))
    .option(
      '--restarts-tolerated <n>',
      'restarts in place a bot may need to become healthy (default 0)',
      integer(0, 100),
    );

/** The request. Throws `UsageError` when nothing is to change. */
export function rolloutRequest(options: RolloutCommandOptions): ApiRequest<'rollouts.plan'> {
  const change = changeOf(options);
  if (Object.keys(change).length === 0)
    throw new UsageError('Say what to change, such as --version; --help lists the options.');
  return {
    selector: given({
      tenant: options.tenant,
      bots: options.bot,
      runtime: options.runtime,
      version: options.fromDefaultVersion ? null : options.fromVersion,
      onlyRunning: !options.includeStopped,
    }),
    change,
    options: given({
      canary: options.canary,
      batchSize: options.batch,
      minHealthyMs: options.healthy,
      healthStage: options.healthStage,
      progressDeadlineMs: options.deadline,
      autoRevert: options.autoRevert,
      failuresTolerated: options.failuresTolerated,
      restartsTolerated: options.restartsTolerated,
    }),
  };
}

function changeOf(options: RolloutCommandOptions): ApiRequest<'rollouts.plan'>['change'] {
  const parameters = {
    ...Object.fromEntries(options.param ?? []),
    ...Object.fromEntries((options.unsetParam ?? []).map((name) => [name, null])),
  };
  const resources = given({
    cpuMillis: options.cpuMillis,
    memoryMiB: options.memoryMib,
    pids: options.pids,
  });
  const policies = given({ stageTimeoutMs: options.stageTimeout, stopGraceMs: options.stopGrace });
  const parts = given({ version: options.defaultVersion ? null : options.version });
  return {
    ...parts,
    ...(Object.keys(parameters).length === 0 ? {} : { parameters }),
    ...(Object.keys(resources).length === 0 ? {} : { resources }),
    ...(Object.keys(policies).length === 0 ? {} : { policies }),
  };
}
