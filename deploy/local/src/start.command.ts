import { SystemClock } from '#libs/clock';
import type { Bot } from '#libs/contracts';
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import type { StartArguments } from './arguments.js';
import type { FleetPaths } from './fleet.paths.js';
import { identify, isAlive, readRunningFleet, writeFleetRecord } from './fleet.record.js';
import { botTable, summaryLine } from './fleet.view.js';
import { readFleet } from './gateway.access.js';
import { LocalFleet } from './local.fleet.js';
import { applyManifest } from './manifest.js';
import { nodeEnvironment } from './node.flags.js';
import { Progress } from './progress.js';

const bots_ms_max = 180_000;
const view_ms = 2000;
const clock = new SystemClock();

/** `npm start`: brings everything up, runs the bots, and stays until it is told to stop. */
export async function start(options: StartArguments, paths: FleetPaths): Promise<void> {
  const running = readRunningFleet(paths.record);
  if (running !== null)
    throw new Error(
      `A fleet runs here already (pid ${running.main.pid}, ${running.gatewayUrl}); npm stop ends it.`,
    );
  if (options.detach) await startDetached(paths);
  else await startHere(options, paths);
}

async function startHere(options: StartArguments, paths: FleetPaths): Promise<void> {
  const progress = new Progress();
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort());
  const fleet = await LocalFleet.prepare(options, paths, progress);
  try {
    record(paths, fleet, options, false);
    // To its end also when asked to stop: what is still being started could not be stopped.
    await run(fleet, options, paths, progress, stopping.signal);
    await watch(fleet, progress, stopping.signal);
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
  } finally {
    await fleet.stop();
    rmSync(paths.record, { force: true });
  }
}

/** Rejects soon after the signal has aborted. */
async function run(
  fleet: LocalFleet,
  options: StartArguments,
  paths: FleetPaths,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  await fleet.start(signal);
  await progress.step(`apply ${options.manifest}`, async (update) => {
    update(await applyManifest(options.manifest, paths, fleet.gateway));
  });
  const bots = await progress.step('bots', (update) => untilBotsRun(fleet, options.driver, update, signal));
  record(paths, fleet, options, true);
  progress.line(`\n${botTable(bots)}`);
  progress.line(`API   ${fleet.gatewayUrl}/api/docs  (token: ${paths.adminToken})`);
  progress.line(`NATS  ${fleet.natsUrl}  (user client, password: ${paths.key('nats-client-password')})`);
  progress.line(`Logs  ${paths.logs}`);
  progress.line(`Ready in ${progress.elapsedSeconds.toFixed(1)} s. Ctrl-C stops everything.\n`);
}

/** Until every bot that should run does, or is told to be stuck. */
async function untilBotsRun(
  fleet: LocalFleet,
  driver: StartArguments['driver'],
  update: (detail: string) => void,
  signal: AbortSignal,
): Promise<Bot[]> {
  const deadline_ms = clock.monotonicMs() + bots_ms_max;
  for (;;) {
    const { bots, hosts } = await readFleet(fleet.gateway);
    update(summaryLine(bots, hosts));
    const waiting = bots.filter((bot) => bot.desired === 'running' && !isUp(bot, driver));
    if (waiting.length === 0) return bots;
    if (clock.monotonicMs() > deadline_ms)
      throw new Error(
        `These bots do not run after ${bots_ms_max / 1000} s:\n${waiting
          .map(
            (bot) =>
              `- ${bot.name}: ${bot.status.phase}${bot.status.reason === null ? '' : `, ${bot.status.reason}`}`,
          )
          .join('\n')}`,
      );
    await clock.sleep(200, signal);
  }
}

/** Running, and its first figures heard; a simulated one has none. */
const isUp = (bot: Bot, driver: StartArguments['driver']): boolean =>
  bot.status.phase === 'running' && (driver === 'simulated' || bot.status.observation?.equity != null);

/** The live line: rewritten on a terminal, elsewhere printed when it has changed in more than amounts. */
async function watch(fleet: LocalFleet, progress: Progress, signal: AbortSignal): Promise<void> {
  let last = '';
  while (!signal.aborted) {
    try {
      const { bots, hosts } = await readFleet(fleet.gateway);
      const line = summaryLine(bots, hosts);
      const state = line.split(' · ').slice(0, 2).join(' · ');
      if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${line}`);
      else if (state !== last) progress.line(line);
      last = state;
    } catch (error) {
      progress.line(error instanceof Error ? error.message : String(error));
    }
    try {
      await clock.sleep(view_ms, signal);
    } catch {
      return; // asked to stop
    }
  }
}

function record(paths: FleetPaths, fleet: LocalFleet, options: StartArguments, ready: boolean): void {
  writeFleetRecord(paths.record, {
    schema: 1,
    main: identify(process.pid),
    startedAt: new Date(clock.wallMs()).toISOString(),
    driver: options.driver,
    hosts: [...fleet.hosts],
    fleet: fleet.name,
    gatewayUrl: fleet.gatewayUrl,
    natsUrl: fleet.natsUrl,
    ready,
  });
}

/** Runs the same command without `--detach` in the background, shows its log, and returns once the bots run. */
async function startDetached(paths: FleetPaths): Promise<void> {
  const logFile = paths.log('fleet');
  rmSync(logFile, { force: true });
  const log = openSync(logFile, 'a', 0o600);
  const args = [...process.execArgv, ...process.argv.slice(1).filter((word) => word !== '--detach')];
  const child = spawn(process.execPath, args, {
    detached: true,
    stdio: ['ignore', log, log],
    cwd: paths.root,
    env: { ...process.env, ...nodeEnvironment },
  });
  closeSync(log);
  child.unref();
  if (child.pid === undefined) throw new Error('The fleet could not be started in the background.');
  const main = identify(child.pid);
  let shown = 0;
  const show = () => {
    const text = readFileSync(logFile, 'utf8');
    process.stderr.write(text.slice(shown));
    shown = text.length;
  };
  while (isAlive(main)) {
    show();
    if (readRunningFleet(paths.record)?.ready === true) {
      await clock.sleep(100);
      show();
      console.log(`The fleet runs in the background (pid ${main.pid}); npm stop ends it.`);
      return;
    }
    await clock.sleep(100);
  }
  show();
  throw new Error('The fleet did not come up.');
}
