import 'reflect-metadata';
import { Command, InvalidArgumentError, Option } from 'commander';
import { auditBench, type AuditArguments } from './audit/audit.bench.js';
import { exportBench, type ExportArguments } from './audit-export/export.bench.js';
import { controlBench, type ControlArguments } from './control/control.bench.js';
import { drainBench, type DrainArguments } from './drain/drain.bench.js';
import { memoryBench, type MemoryArguments } from './memory/memory.bench.js';
import { rolloutBench, type RolloutArguments } from './rollout/rollout.bench.js';
import { takeoverBench, type TakeoverArguments } from './takeover/takeover.bench.js';
import { startsBench, type StartsArguments } from './starts/starts.bench.js';

/** `npm run bench -- <what>`: measurements on the real servers, each next to what they can do at most. */
const program = new Command('bench')
  .description('Measures the platform on this machine, next to raw baselines taken in the same run.')
  .showHelpAfterError();

program
  .command('control')
  .description('from an accepted change to bots that run: the whole control plane, with simulated containers')
  .option('--bots <n>', 'bots to bring up (10 to 10000)', integer(10, 10_000), 2000)
  .option('--hosts <n>', 'agents (1 to 100)', integer(1, 100), 20)
  .option('--processes <n>', 'processes the agents share (1 to 20)', integer(1, 20), 2)
  .addOption(
    new Option('--by <door>', 'how bots are asked for: manifests of up to 500, or one request a bot')
      .choices(['fleet.apply', 'bots.create'])
      .default('fleet.apply'),
  )
  .option('--start-ms <ms>', 'how long a simulated container takes to start', integer(0, 60_000), 0)
  .option('--seconds <n>', 'give up when not all run after as long (5 to 600)', integer(5, 600), 120)
  .option('--baseline-ms <ms>', 'how long each baseline is measured', integer(100, 60_000), 2000)
  .option('--profile <folder>', 'write CPU profiles of scheduler, agents and audit (slower)')
  .option('--json', 'the result as JSON on stdout; progress goes to stderr', false)
  .action(async (options: ControlArguments) => {
    await controlBench(options);
  });

program
  .command('starts')
  .description('containers started on one host: by the agent, and by dockerode alone, on the same engine')
  .option('--containers <n>', 'started in each run (4 to 250)', integer(4, 250), 40)
  .option('--rounds <n>', 'how often everything is measured (1 to 20)', integer(1, 20), 3)
  .option('--parallel <list>', 'how many at a time dockerode starts', integers(1, 64), [1, 2, 4, 8])
  .option('--json', 'the result as JSON on stdout; progress goes to stderr', false)
  .action(async (options: StartsArguments) => {
    await startsBench(options);
  });

program
  .command('rollout')
  .description('a broken version and a good one, rolled out over a fleet with simulated containers')
  .option('--bots <n>', 'bots to roll out to (2 to 500)', integer(2, 500), 30)
  .option('--hosts <n>', 'agents (1 to 100)', integer(1, 100), 3)
  .option('--batch <n>', 'bots changed at a time (1 to 100)', integer(1, 100), 5)
  .option('--healthy-ms <ms>', 'ready for so long until it is healthy', integer(0, 600_000), 2000)
  .option('--start-ms <ms>', 'how long a simulated container takes to start', integer(0, 60_000), 300)
  .option('--json', 'the result as JSON on stdout; progress goes to stderr', false)
  .action(async (options: RolloutArguments) => {
    await rolloutBench(options);
  });

program
  .command('drain')
  .description(
    'a host with bots is drained: how long each does not run, with and without preparing its target',
  )
  .addOption(
    new Option(
      '--driver <driver>',
      'docker: all hosts on one engine; simulated: with times that are set here',
    )
      .choices(['docker', 'simulated'])
      .default('simulated'),
  )
  .option('--bots <n>', 'bots on the host (1 to 200)', integer(1, 200), 20)
  .option('--rounds <n>', 'drains of each kind (1 to 10)', integer(1, 10), 2)
  .option('--parallel <n>', 'bots on their way at a time (1 to 100)', integer(1, 100), 5)
  .option('--image-ms <ms>', 'simulated: to fetch an image', integer(0, 600_000), 8000)
  .option('--volume-ms <ms>', 'simulated: to make a volume', integer(0, 600_000), 300)
  .option('--start-ms <ms>', 'simulated: to start a container', integer(0, 60_000), 300)
  .option('--json', 'the result as JSON on stdout; progress goes to stderr', false)
  .action(async (options: DrainArguments) => {
    await drainBench(options);
  });

program
  .command('audit')
  .description(
    'events recorded, once and provably: the audit service next to the raw inserting of the same rows',
  )
  .option('--events <n>', 'in each round (1000 to 200000)', integer(1000, 200_000), 20_000)
  .option('--rounds <n>', 'how often both are measured (1 to 50)', integer(1, 50), 5)
  .option('--batches <list>', 'rows at a time on the raw side', integers(1, 10_000), [1000, 2000])
  .option('--rate <n>', 'events a second, for the time from event to durable', integer(1, 5000), 500)
  .option('--seconds <n>', 'for so long (1 to 600)', integer(1, 600), 10)
  .option('--profile <folder>', 'write a CPU profile of the audit service (slower)')
  .option('--json', 'the result as JSON on stdout; progress goes to stderr', false)
  .action(async (options: AuditArguments) => {
    await auditBench(options);
  });

program
  .command('audit-export')
  .description('the whole log taken out, over HTTP and by the command line, and verified: time and memory')
  .option('--events <n>', 'in the log (1000 to 10000000)', integer(1000, 10_000_000), 1_000_000)
  .option('--json', 'the result as JSON on stdout; progress goes to stderr', false)
  .action(async (options: ExportArguments) => {
    await exportBench(options);
  });

program
  .command('takeover')
  .description(
    'the leader of the local fleet that runs is killed, stopped and ended: until a standby answers',
  )
  .option('--state <folder>', 'state of the local fleet, from the repository', '.tradefleet')
  .option('--rounds <n>', 'each way so often (1 to 1000)', integer(1, 1000), 10)
  .option('--json', 'the result as JSON on stdout; progress goes to stderr', false)
  .action(async (options: TakeoverArguments) => {
    await takeoverBench(options);
  });

program
  .command('memory')
  .description('resident memory of each process of the local fleet that runs (npm start); Linux')
  .option('--state <folder>', 'state of the local fleet, from the repository', '.tradefleet')
  .option('--json', 'as JSON', false)
  .action((options: MemoryArguments) => {
    memoryBench(options);
  });

program.parseAsync().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});

function integer(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least || value > most)
      throw new InvalidArgumentError(`must be a whole number from ${least} to ${most}`);
    return value;
  };
}

/** Several of them, separated by commas. */
function integers(least: number, most: number): (text: string) => number[] {
  const one = integer(least, most);
  return (text) => text.split(',').map(one);
}
