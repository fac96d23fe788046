import { hasEnded, type Rollout } from '#libs/contracts';
import { waitFor } from '#libs/testing';
import pg from 'pg';
import { BenchFleet } from '../control/bench.fleet.js';
import { distributionOf } from '../control/statistics.js';
import { reportOf, type RolloutResult, type VersionResult } from './report.js';

export interface RolloutArguments {
  readonly bots: number;
  readonly hosts: number;
  readonly batch: number;
  readonly healthyMs: number;
  readonly startMs: number;
  readonly json: boolean;
}

const tenant = 'rollout';
const look_ms = 50;
const ms_max = 600_000;

interface Standing {
  readonly bot: string;
  readonly generation: number;
  readonly allocations: string;
}

/** Rolls a version out that ends at every start, then a good one, on the real servers and services. */
export async function rolloutBench(options: RolloutArguments): Promise<void> {
  const progress = (what: string): void => void process.stderr.write(`${what}\n`);
  const runtimes = { paper: 'runs', 'paper@v2': 'runs', 'paper@broken': 'exits' } as const;
  const { hosts, startMs } = options;
  const fleet = new BenchFleet({ hosts, processes: 1, start_ms: startMs, profile: undefined, runtimes });
  try {
    progress('NATS, Postgres, scheduler, audit and agents start');
    await fleet.startServers();
    await fleet.startServices();
    const database = new pg.Pool({ connectionString: fleet.databaseUrl('tradefleet'), max: 1 });
    try {
      const result = await measure(fleet, database, options, progress);
      console.log(options.json ? JSON.stringify(result, null, 2) : `\n${reportOf(result)}`);
      if (!result.asItShould) process.exitCode = 1;
    } finally {
      await database.end();
    }
  } finally {
    progress('everything ends');
    await fleet.stop();
  }
}

async function measure(
  fleet: BenchFleet,
  database: pg.Pool,
  options: RolloutArguments,
  progress: (what: string) => void,
): Promise<RolloutResult> {
  progress(`${options.bots} bots`);
  await apply(fleet, options.bots);
  progress('a version that ends at every start');
  const broken = await rollOut(fleet, database, 'broken', options);
  progress('a version that runs');
  const good = await rollOut(fleet, database, 'v2', options);
  const asItShould =
    broken.state === 'reverted' &&
    broken.untouched === options.bots - 1 &&
    good.state === 'succeeded' &&
    Math.max(broken.inFlightMost, good.inFlightMost) <= options.batch;
  return { ...options, broken, good, asItShould };
}

async function apply({ messaging }: BenchFleet, count: number): Promise<void> {
  const names = Array.from({ length: count }, (_, n) => `${tenant}-${String(n + 1).padStart(3, '0')}`);
  const accounts = names.map((name, n) => ({ name, server: 'Paper-Demo', login: n + 1 }));
  const bots = names.map((name) => ({ name, account: name, runtime: 'paper' as const }));
  const manifest = { apiVersion: 'tradefleet/v1' as const, tenants: [{ name: tenant, accounts, bots }] };
  const { version } = await messaging.call('fleet.plan', { manifest });
  const { operation } = await messaging.call('fleet.apply', { manifest, version });
  await waitFor(
    async () =>
      (await messaging.call('operations.wait', { id: operation, timeoutMs: 5000 })).state === 'succeeded',
    { timeoutMs: ms_max, what: 'the bots to run' },
  );
}

async function rollOut(
  { messaging }: BenchFleet,
  database: pg.Pool,
  version: string,
  { batch, healthyMs }: RolloutArguments,
): Promise<VersionResult> {
  const before = await standing(database);
  const request = {
    selector: { tenant },
    change: { version },
    options: { batchSize: batch, minHealthyMs: healthyMs, progressDeadlineMs: 300_000 },
  };
  const plan = await messaging.call('rollouts.plan', request);
  const begin_ms = performance.now();
  const { id } = await messaging.call('rollouts.create', { ...request, version: plan.version });
  let inFlightMost = 0;
  let noticed_ms: number | null = null;
  const rollout: Rollout = await waitFor(
    async () => {
      const now = await messaging.call('rollouts.get', { id });
      inFlightMost = Math.max(inFlightMost, now.progress.changing + now.progress.reverting);
      if (now.state === 'reverting') noticed_ms ??= performance.now() - begin_ms;
      return hasEnded(now.state) ? now : null;
    },
    { timeoutMs: ms_max, intervalMs: look_ms, what: `the rollout of ${version}` },
  );
  const elapsed_ms = performance.now() - begin_ms;
  const was = new Map(before.map((bot) => [bot.bot, bot]));
  const after = await standing(database);
  return {
    version,
    state: rollout.state,
    reason: rollout.reason,
    restartsPlanned: plan.bots.filter(({ restarts }) => restarts).length,
    untouched: after.filter(
      (bot) =>
        bot.generation === was.get(bot.bot)?.generation && bot.allocations === was.get(bot.bot)?.allocations,
    ).length,
    inFlightMost,
    noticed_ms,
    elapsed_ms,
    gap: distributionOf(await gaps(database, version)),
  };
}

/** Generation and every allocation of each bot. */
async function standing(database: pg.Pool): Promise<Standing[]> {
  const { rows } = await database.query<Standing>(
    `SELECT b.name AS bot, b.generation, (
       SELECT string_agg(a.id || ' ' || a.state, ',' ORDER BY a.epoch) FROM scheduler.allocations a WHERE a.bot = b.name
     ) AS allocations FROM scheduler.bots b ORDER BY b.name`,
  );
  return rows;
}

/** From the end of a bot's allocation until the next one ran, for bots of the version; by the scheduler's record. */
async function gaps(database: pg.Pool, version: string): Promise<number[]> {
  const { rows } = await database.query<{ gap_ms: number }>(
    `SELECT (extract(epoch FROM n.running_at - o.ended_at) * 1000)::float8 AS gap_ms
     FROM scheduler.bots b
     JOIN scheduler.allocations n ON n.bot = b.name AND n.bot_generation = b.generation
     JOIN scheduler.allocations o ON o.account = n.account AND o.epoch = n.epoch - 1
     WHERE b.version = $1 AND n.running_at IS NOT NULL`,
    [version],
  );
  return rows.map((row) => row.gap_ms);
}
