import {
  ReschedulePolicy,
  RestartPolicy,
  type ApiRequest,
  type ApiResponse,
  type Bot,
  type Constraint,
} from '#libs/contracts';
import { Command, Option } from 'commander';
import { type ExitCode, UsageError } from '../exit.codes.js';
import { waitForOperation } from '../operation.waiter.js';
import {
  collect,
  constraint,
  generationOption,
  given,
  idempotencyOption,
  integer,
  json,
  limitOption,
  parameter,
  type ParameterValue,
  waitOptions,
} from '../option.values.js';
import { botSheet, botView } from '../output/views.js';
import type { Perform, Session } from '../session.js';

interface WriteOptions {
  readonly generation?: number;
  readonly idempotencyKey?: string;
  readonly wait: boolean;
  readonly timeout: number;
}

/** What a bot should be, as far as it is given on the command line. */
interface SpecOptions {
  readonly version?: string;
  readonly param?: (readonly [string, ParameterValue])[];
  readonly constraint?: Constraint[];
  readonly cpuMillis?: number;
  readonly memoryMib?: number;
  readonly pids?: number;
  readonly onHostLost?: Bot['policies']['onHostLost'];
  readonly leaseTtlMs?: number;
  readonly stageTimeoutMs?: number;
  readonly unhealthyAfterMs?: number;
  readonly restart?: RestartPolicy;
  readonly reschedule?: ReschedulePolicy;
  readonly stopGraceMs?: number;
  readonly antiAffinity?: Bot['policies']['antiAffinity'];
  readonly priority?: number;
}

type CreateOptions = SpecOptions &
  WriteOptions & { readonly account: string; readonly runtime: Bot['runtime']; readonly stopped: boolean };
type UpdateOptions = SpecOptions &
  WriteOptions & {
    readonly unsetParam?: string[];
    readonly constraints: boolean;
    readonly defaultVersion: boolean;
  };

export function botsCommand(perform: Perform): Command {
  const bots = new Command('bots').description('what should run, each for one account');
  bots
    .command('list')
    .description('list bots by name')
    .option('--tenant <name>', 'of this tenant only')
    .option('--host <name>', 'on this host only')
    .addOption(limitOption(10_000))
    .action((options: { tenant?: string; host?: string; limit: number }, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const filter = given({ tenant: options.tenant, host: options.host });
        const rows = await gateway.list('bots.list', 'bots', filter, options.limit);
        printer.rows(rows, botView.columns, botView.cells, 'No bots.');
        return undefined;
      }),
    );
  bots
    .command('get <name>')
    .description('show a bot and how it runs')
    .action((name: string, _options: object, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const bot = await gateway.call('bots.get', { name });
        printer.answer(bot, () => printer.sheet(botSheet(bot)));
        return undefined;
      }),
    );
  bots.addCommand(createCommand(perform));
  bots.addCommand(updateCommand(perform));
  for (const verb of ['start', 'stop', 'delete'] as const) bots.addCommand(changeCommand(verb, perform));
  return bots;
}

function createCommand(perform: Perform): Command {
  const create = new Command('create')
    .argument('<name>')
    .description('make a bot and run it')
    .requiredOption('--account <name>', 'the account it trades')
    .addOption(new Option('--runtime <name>', 'how it runs').choices(['paper', 'mt5']).makeOptionMandatory())
    .option('--stopped', 'make it without running it', false);
  withWrite(withSpec(create)).action((name: string, options: CreateOptions, command: Command) =>
    perform(command, async (session) => {
      const { account, runtime, stopped, idempotencyKey } = options;
      const accepted = await session.gateway.call('bots.create', {
        name,
        account,
        runtime,
        desired: stopped ? 'stopped' : 'running',
        ...(options.param === undefined ? {} : { parameters: Object.fromEntries(options.param) }),
        ...spec(options),
        ...given({ idempotencyKey }),
      });
      return ended(accepted, options, session);
    }),
  );
  return create;
}

function updateCommand(perform: Perform): Command {
  const update = new Command('update')
    .argument('<name>')
    .description('change what is given of a bot; a running one is replaced under a new epoch')
    .option('--unset-param <name>', 'take a parameter away (repeatable)', collect(String))
    .addOption(new Option('--no-constraints', 'take all constraints away').conflicts('constraint'))
    .addOption(
      new Option('--default-version', "run the host's default image").default(false).conflicts('version'),
    )
    .addOption(generationOption());
  withWrite(withSpec(update)).action((name: string, options: UpdateOptions, command: Command) =>
    perform(command, async (session) => {
      const change: Omit<ApiRequest<'bots.update'>, 'name'> = {
        ...spec(options),
        ...(options.constraints ? {} : { constraints: [] }),
        ...(options.defaultVersion ? { version: null } : {}),
        ...(await parameters(name, options, session)),
      };
      if (Object.keys(change).length === 0)
        throw new UsageError('Say what to change; --help lists the options.');
      const accepted = await session.gateway.call('bots.update', {
        name,
        ...given({ expectedGeneration: options.generation, idempotencyKey: options.idempotencyKey }),
        ...change,
      });
      return ended(accepted, options, session);
    }),
  );
  return update;
}

/**
 * An update replaces the parameters whole. So the present ones are read, changed, and sent back under the generation
 * they were read at: a change in between is refused, not undone.
 */
async function parameters(
  name: string,
  options: UpdateOptions,
  { gateway }: Session,
): Promise<Pick<ApiRequest<'bots.update'>, 'parameters' | 'expectedGeneration'>> {
  if (options.param === undefined && options.unsetParam === undefined) return {};
  const bot = await gateway.call('bots.get', { name });
  const changed = new Map<string, ParameterValue>([
    ...Object.entries(bot.parameters),
    ...(options.param ?? []),
  ]);
  for (const gone of options.unsetParam ?? [])
    if (!changed.delete(gone)) throw new UsageError(`${name} has no parameter ${gone}.`);
  return {
    parameters: Object.fromEntries(changed),
    expectedGeneration: options.generation ?? bot.generation,
  };
}

const descriptions = {
  start: 'run a bot',
  stop: 'stop a bot; it stays defined',
  delete: 'stop a bot and remove it',
};

function changeCommand(verb: 'start' | 'stop' | 'delete', perform: Perform): Command {
  const change = new Command(verb)
    .argument('<name>')
    .description(descriptions[verb])
    .option('--reason <text>', 'why; kept in the audit log')
    .addOption(generationOption());
  return withWrite(change).action(
    (name: string, options: WriteOptions & { reason?: string }, command: Command) =>
      perform(command, async (session) => {
        const { reason, generation: expectedGeneration, idempotencyKey } = options;
        const accepted = await session.gateway.call(`bots.${verb}`, {
          name,
          ...given({ reason, expectedGeneration, idempotencyKey }),
        });
        return ended(accepted, options, session);
      }),
  );
}

/** Prints the operation, and with `--wait` how it ends. */
async function ended(
  accepted: ApiResponse<'bots.create'>,
  options: WriteOptions,
  session: Session,
): Promise<ExitCode | undefined> {
  const { operation, bot } = accepted;
  session.printer.answer(accepted, () =>
    session.printer.line(
      `Bot ${bot.name} is to be ${bot.desired} (generation ${bot.generation}): operation ${operation}`,
    ),
  );
  return options.wait ? waitForOperation(operation, options.timeout, session) : undefined;
}

function withWrite(command: Command): Command {
  command.addOption(idempotencyOption());
  for (const option of waitOptions()) command.addOption(option);
  return command;
}

function withSpec(command: Command): Command {
  return command
    .option('--version <version>', "which image of the runtime (default: the host's)")
    .option('--param <name=value>', 'parameter of the strategy (repeatable)', collect(parameter))
    .option('--constraint <text>', 'host label, e.g. "zone in a,b" (repeatable)', collect(constraint))
    .option('--cpu-millis <n>', 'thousandths of a CPU', integer(1, 64_000))
    .option('--memory-mib <n>', 'memory', integer(1, 262_144))
    .option('--pids <n>', 'processes and threads at most', integer(1, 4096))
    .addOption(
      new Option('--on-host-lost <policy>', 'when its host cannot be reached').choices([
        'reschedule',
        'wait',
      ]),
    )
    .option(
      '--lease-ttl-ms <n>',
      "how long its lease lasts, where longer than the fleet's",
      integer(10_000, 600_000),
    )
    .option('--stage-timeout-ms <n>', 'longest a readiness stage may take', integer(1, 3_600_000))
    .option(
      '--unhealthy-after-ms <n>',
      'how long a bot that was ready may be silent; 0: for ever',
      integer(0, 86_400_000),
    )
    .option(
      '--restart <json>',
      'when it ends by itself, e.g. {"attempts":5}; the rest is default',
      json(RestartPolicy),
    )
    .option('--reschedule <json>', 'when that did not help, e.g. {"attempts":10}', json(ReschedulePolicy))
    .option('--stop-grace-ms <n>', 'from the request to stop until the kill', integer(0, 60_000))
    .addOption(
      new Option('--anti-affinity <policy>', "keep the tenant's bots on different hosts").choices([
        'none',
        'prefer',
        'require',
      ]),
    )
    .option('--priority <n>', 'who goes first while bots wait for room', integer(0, 100));
}

function spec(
  options: SpecOptions,
): Pick<ApiRequest<'bots.update'>, 'version' | 'resources' | 'policies' | 'constraints'> {
  const resources = given({
    cpuMillis: options.cpuMillis,
    memoryMiB: options.memoryMib,
    pids: options.pids,
  });
  const policies = given({
    onHostLost: options.onHostLost,
    leaseTtlMs: options.leaseTtlMs,
    stageTimeoutMs: options.stageTimeoutMs,
    unhealthyAfterMs: options.unhealthyAfterMs,
    restart: options.restart,
    reschedule: options.reschedule,
    stopGraceMs: options.stopGraceMs,
    antiAffinity: options.antiAffinity,
    priority: options.priority,
  });
  return {
    ...(Object.keys(resources).length === 0 ? {} : { resources }),
    ...(Object.keys(policies).length === 0 ? {} : { policies }),
    ...given({ version: options.version, constraints: options.constraint }),
  };
}
