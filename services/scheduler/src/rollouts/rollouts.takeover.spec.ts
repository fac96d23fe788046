import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { SystemClock } from '#libs/clock';
import { hasEnded, type Rollout } from '#libs/contracts';
import { connectMessaging, SigningKey, type Messaging } from '#libs/messaging';
import { createLogger } from '#libs/telemetry';
import {
  aPublicKey,
  aCapacity,
  startNats,
  startPostgres,
  uniqueName,
  waitFor,
  type TestNats,
  type TestPostgres,
} from '#libs/testing';
import pg from 'pg';
import { SchedulerConfig } from '../scheduler.config.js';
import { startScheduler, type RunningScheduler } from '../scheduler.process.js';
import { Oracle, SimulatedAgent } from '../simulated-agent.harness.js';

/** Whole schedulers, started as their main does, with simulated agents on a real broker. */
const clock = new SystemClock();
const logger = createLogger({ service: 'scheduler', level: 'silent' });
let nats: TestNats;
let postgres: TestPostgres;
let folder: string;
let databaseUrl: string;
let database: pg.Client;
let client: Messaging;
let key: SigningKey;
let oracle: Oracle;
let agents: SimulatedAgent[];
let schedulers: RunningScheduler[];

beforeEach(async () => {
  [nats, postgres] = await Promise.all([startNats(), startPostgres()]);
  databaseUrl = await postgres.createDatabase();
  folder = await mkdtemp(join(tmpdir(), 'tradefleet-rollouts-'));
  key = await SigningKey.generate();
  await key.toNewFile(join(folder, 'key.jwk'));
  client = await connectMessaging({ servers: nats.url, name: 'client', logger });
  database = new pg.Client({ connectionString: databaseUrl });
  database.on('error', () => undefined);
  await database.connect();
  oracle = new Oracle();
  [agents, schedulers] = [[], []];
});
afterEach(async () => {
  for (const agent of agents) await agent.stop();
  for (const scheduler of schedulers) await scheduler.stop();
  await client.drain();
  await database.end();
  await nats.stop();
  await postgres.stop();
  await rm(folder, { recursive: true, force: true });
});

async function scheduler(onLeadershipLost: () => void = () => undefined): Promise<RunningScheduler> {
  const config = SchedulerConfig.parse({
    natsUrl: [nats.url],
    databaseUrl,
    signingKeyPath: join(folder, 'key.jwk'),
    auditPublicKey: aPublicKey,
    // No pause of a busy machine ends the lead.
    leaderLeaseMs: 30_000,
    leaseTtlMs: 60_000,
    leaseLockDelayMs: 200,
    hostJoin: 'open',
  });
  const running = await startScheduler({ config, logger, clock, onLeadershipLost });
  schedulers.push(running);
  return running;
}

async function agent(): Promise<void> {
  const capacity = aCapacity({ cpuMillis: 1_000_000, memoryMiB: 1_000_000, bots: 500 });
  const started = await SimulatedAgent.start({
    natsUrl: nats.url,
    scheduler: () => key.publicJwk,
    clock,
    oracle,
    host: { capacity, runtimes: ['paper', 'paper@v2', 'paper@broken'] },
    breaks: ({ version }) => version === 'broken',
  });
  agents.push(started);
}

/** Running bots of a new tenant. */
async function bots(count: number): Promise<string> {
  const tenant = uniqueName('tenant');
  const names = Array.from({ length: count }, (_, n) => `${tenant}-${n}`);
  const manifest = {
    apiVersion: 'tradefleet/v1' as const,
    tenants: [
      {
        name: tenant,
        accounts: names.map((name, n) => ({ name, server: 'Paper-Demo', login: 1_000_000 + n })),
        bots: names.map((name) => ({ name, account: name, runtime: 'paper' as const })),
      },
    ],
  };
  const { version } = await client.call('fleet.plan', { manifest });
  const { operation } = await client.call('fleet.apply', { manifest, version });
  await waitFor(
    async () =>
      (await client.call('operations.wait', { id: operation, timeoutMs: 2000 })).state === 'succeeded',
    { timeoutMs: 90_000, what: 'the bots to run' },
  );
  return tenant;
}

async function start(tenant: string, version: string): Promise<Rollout> {
  const request = {
    selector: { tenant },
    change: { version },
    options: { minHealthyMs: 200, batchSize: 5, progressDeadlineMs: 60_000 },
  };
  const plan = await client.call('rollouts.plan', request);
  return await client.call('rollouts.create', { ...request, version: plan.version });
}

const until = async (id: string, is: (rollout: Rollout) => boolean): Promise<Rollout> =>
  await waitFor(
    async () => {
      const rollout = await client.call('rollouts.get', { id });
      return is(rollout) ? rollout : null;
    },
    { timeoutMs: 90_000, what: 'the rollout' },
  );
const standing = async (): Promise<
  { name: string; generation: number; version: string | null; ids: string }[]
> =>
  (
    await database.query<{ name: string; generation: number; version: string | null; ids: string }>(
      `SELECT name, generation, version,
         (SELECT string_agg(id::text, ' ' ORDER BY epoch) FROM scheduler.allocations WHERE bot = name) AS ids
       FROM scheduler.bots ORDER BY name`,
    )
  ).rows;

describe('rollouts of a whole scheduler', () => {
  it('go on after the lead was lost in the middle: every bot is changed and replaced once', async () => {
    let lost = 0;
    const first = await scheduler(() => (lost += 1));
    await agent();
    await agent();
    const tenant = await bots(12);
    const standby = scheduler();
    const rollout = await start(tenant, 'v2');
    await until(rollout.id, ({ progress }) => progress.healthy > 0);
    await database.query(`UPDATE scheduler.leadership SET holder = 'nobody', renewal = renewal + 1`);
    await waitFor(() => lost > 0, { timeoutMs: 60_000, what: 'the leader to notice' });
    // Main ends the process here.
    await first.stop();
    await standby;
    const done = await waitFor(
      async () => {
        const now = await client.call('rollouts.get', { id: rollout.id }).catch(() => null);
        return now !== null && hasEnded(now.state) ? now : null;
      },
      { timeoutMs: 90_000, what: 'the rollout to end under the next leader' },
    );
    expect(done).toMatchObject({ state: 'succeeded', progress: { healthy: 12 } });
    for (const bot of await standing()) {
      expect(bot).toMatchObject({ version: 'v2', generation: 2 });
      expect(bot.ids.split(' ')).toHaveLength(2);
    }
    expect(oracle.overlaps()).toEqual([]);
  });

  it('of a broken version end with the canary as it was and 29 of 30 bots untouched', async () => {
    await scheduler();
    await agent();
    await agent();
    const tenant = await bots(30);
    const before = await standing();
    const rollout = await start(tenant, 'broken');
    const done = await until(rollout.id, ({ state }) => hasEnded(state));
    const canary = done.targets[0]?.bot;
    expect(done).toMatchObject({ state: 'reverted', progress: { reverted: 1, waiting: 29 } });
    const after = await standing();
    expect(after.filter(({ name }) => name !== canary)).toEqual(before.filter(({ name }) => name !== canary));
    const back = await client.call('bots.get', { name: canary ?? '' });
    expect(back).toMatchObject({ version: null, generation: 3, status: { phase: 'running' } });
    expect((await client.call('operations.get', { id: rollout.operation })).progress).toEqual({
      done: 30,
      failed: 1,
      total: 30,
    });
    expect(oracle.overlaps()).toEqual([]);
  });
});
