import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { SystemClock } from '#libs/clock';
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
import { SchedulerConfig } from './scheduler.config.js';
import { startScheduler, type RunningScheduler } from './scheduler.process.js';
import { Oracle, SimulatedAgent } from './simulated-agent.harness.js';

/** The whole scheduler, started as its main does, with simulated agents on a real broker. */
const clock = new SystemClock();
const logger = createLogger({ service: 'scheduler', level: 'silent' });
let nats: TestNats;
let postgres: TestPostgres;
let databaseUrl: string;
let folder: string;
let key: SigningKey;
let client: Messaging;
let database: pg.Client;
let oracle: Oracle;
let agents: SimulatedAgent[];
let schedulers: RunningScheduler[];
let tenant: string;

beforeEach(async () => {
  [nats, postgres] = await Promise.all([startNats(), startPostgres()]);
  databaseUrl = await postgres.createDatabase();
  folder = await mkdtemp(join(tmpdir(), 'tradefleet-scheduler-'));
  key = await SigningKey.generate();
  await key.toNewFile(join(folder, 'key.jwk'));
  client = await connectMessaging({ servers: nats.url, name: 'client', logger });
  database = new pg.Client({ connectionString: databaseUrl });
  database.on('error', () => undefined);
  await database.connect();
  oracle = new Oracle();
  agents = [];
  schedulers = [];
  tenant = uniqueName('tenant');
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

async function scheduler(
  over: Partial<SchedulerConfig> = {},
  onLeadershipLost: (reason: string) => void = () => undefined,
): Promise<RunningScheduler> {
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
    ...over,
  });
  const running = await startScheduler({ config, logger, clock, onLeadershipLost });
  schedulers.push(running);
  return running;
}
async function agent(bots = 500): Promise<SimulatedAgent> {
  const started = await SimulatedAgent.start({
    natsUrl: nats.url,
    scheduler: () => key.publicJwk,
    clock,
    oracle,
    host: { capacity: aCapacity({ cpuMillis: 1_000_000, memoryMiB: 1_000_000, bots }) },
  });
  agents.push(started);
  return started;
}

/** Applies a manifest with this many bots and gives the operation. */
async function apply(names: readonly string[], parameters: Record<string, number> = {}): Promise<string> {
  const manifest = {
    apiVersion: 'tradefleet/v1' as const,
    tenants: [
      {
        name: tenant,
        accounts: names.map((name, i) => ({
          name: `${name}-acc`,
          server: 'Paper-Demo',
          login: 1_000_000 + i,
        })),
        bots: names.map((name) => ({ name, account: `${name}-acc`, runtime: 'paper' as const, parameters })),
      },
    ],
  };
  const { version } = await client.call('fleet.plan', { manifest });
  return (await client.call('fleet.apply', { manifest, version })).operation;
}
const botNames = (count: number): string[] => Array.from({ length: count }, (_, i) => `${tenant}-${i}`);

async function ended(operation: string): Promise<string> {
  return waitFor(
    async () => {
      const { state } = await client.call('operations.wait', { id: operation, timeoutMs: 2000 });
      return state === 'running' ? null : state;
    },
    { timeoutMs: 90_000, what: 'the operation to end' },
  );
}
const rows = async <T extends pg.QueryResultRow>(sql: string, values: unknown[] = []): Promise<T[]> =>
  (await database.query<T>(sql, values)).rows;
const placements = async () =>
  rows<{ account: string; epoch: number; state: string; host: string }>(
    'SELECT account, epoch, state, host FROM scheduler.allocations ORDER BY account, epoch',
  );
/** Every event in the stream: how often each id stands in it. */
async function eventsInStream(): Promise<{ total: number; distinct: number }> {
  const ids: string[] = [];
  const manager = await client.manager();
  const { state } = await manager.streams.info('EVENTS');
  const stop = await client.tail(
    'fleet.v1.evt.>',
    (message) => void ids.push(message.headers['ce-id'] ?? ''),
    {
      sinceSeq: 1,
    },
  );
  await waitFor(() => ids.length >= state.messages, { what: 'the stream to be read' });
  await stop();
  return { total: ids.length, distinct: new Set(ids).size };
}

describe('the scheduler with simulated agents', () => {
  it('runs what is applied, replaces what is changed, and stops what is deleted', async () => {
    await scheduler();
    await agent();
    await agent();
    const names = botNames(20);
    expect(await ended(await apply(names))).toBe('succeeded');
    const first = await placements();
    expect(first.every((row) => row.state === 'running' && row.epoch === 1)).toBe(true);
    expect(new Set(first.map((row) => row.host)).size).toBe(2);

    expect(await ended(await apply(names, { lots: 2 }))).toBe('succeeded');
    const [one = ''] = names;
    const { status, generation } = await client.call('bots.get', { name: one });
    expect(status.phase).toBe('running');
    expect(status.allocation?.epoch).toBe(2);
    expect(generation).toBe(2);

    const { operation } = await client.call('bots.delete', { name: one });
    expect(await ended(operation)).toBe('succeeded');
    await expect(client.call('bots.get', { name: one })).rejects.toMatchObject({ code: 'bot_not_found' });
    expect(oracle.overlaps()).toEqual([]);
  });

  it('moves what ran on a host that is cut off, after its leases, and never runs two', async () => {
    await scheduler({ leaseTtlMs: 8000 });
    const cut = await agent();
    const names = botNames(10);
    expect(await ended(await apply(names))).toBe('succeeded');
    const other = await agent();
    await waitFor(async () => (await rows('SELECT 1 FROM scheduler.hosts')).length === 2);
    const lastLeaseEnds = (): number => Math.max(...oracle.lives.map((life) => life.until_ms));
    cut.partition(true);
    const leasesEnd = lastLeaseEnds();
    await waitFor(
      async () =>
        (await placements()).filter((row) => row.host === other.name && row.state === 'running').length ===
        10,
      { timeoutMs: 60_000, what: 'all to run elsewhere' },
    );
    expect(
      oracle.lives.filter((life) => life.host === other.name).every((life) => life.from_ms >= leasesEnd),
    ).toBe(true);

    // Back again, it stops what it still believes to have before it is given anything.
    cut.partition(false);
    await waitFor(
      async () =>
        (await rows(`SELECT 1 FROM scheduler.hosts WHERE name = $1 AND state = 'ready'`, [cut.name])).length >
        0,
      { timeoutMs: 60_000, what: 'the host to be back' },
    );
    expect(oracle.overlaps()).toEqual([]);
    expect((await placements()).filter((row) => row.epoch > 2)).toEqual([]);
  });

  it('survives the loss of the lead in the middle of an apply: each bot is placed once and runs', async () => {
    let lost = 0;
    const first = await scheduler({}, () => (lost += 1));
    await agent();
    await agent();
    const standby = scheduler();
    const operation = await apply(botNames(200));
    await waitFor(async () => (await placements()).length > 0, { what: 'the first placements' });
    await database.query(`UPDATE scheduler.leadership SET holder = 'nobody', renewal = renewal + 1`);
    await waitFor(() => lost > 0, { what: 'the leader to notice' });
    // Main ends the process here.
    await first.stop();
    await standby;
    expect(await ended(operation)).toBe('succeeded');
    const all = await placements();
    expect(all).toHaveLength(200);
    expect(all.every((row) => row.state === 'running' && row.epoch === 1)).toBe(true);
    expect(oracle.lives).toHaveLength(200);
    expect(oracle.overlaps()).toEqual([]);
  });

  it('publishes after a crash what was committed before, and runs it once', async () => {
    // NATS goes away between the commit and the publishing: to the outbox a crash looks the same.
    const first = await scheduler();
    await agent();
    await waitFor(async () => (await rows('SELECT 1 FROM scheduler.hosts')).length === 1);
    const names = botNames(30);
    await database.query(
      `ALTER TABLE scheduler.outbox ADD CONSTRAINT crash CHECK (published_at IS NULL) NOT VALID`,
    );
    const operation = await apply(names);
    await waitFor(async () => (await placements()).length === 30, { what: 'all to be placed' });
    // Published, or about to be, but never marked: the relay crashes at that point again and again.
    await waitFor(async () => oracle.lives.length > 0, { what: 'the first commands to be published' });
    await first.stop();
    await database.query('ALTER TABLE scheduler.outbox DROP CONSTRAINT crash');
    const [waiting] = await rows<{ n: number }>(
      'SELECT count(*)::int AS n FROM scheduler.outbox WHERE published_at IS NULL',
    );
    expect(waiting?.n).toBeGreaterThan(30);

    await scheduler();
    expect(await ended(operation)).toBe('succeeded');
    expect(oracle.lives).toHaveLength(30);
    expect((await placements()).every((row) => row.epoch === 1)).toBe(true);
    await waitFor(
      async () => (await rows('SELECT 1 FROM scheduler.outbox WHERE published_at IS NULL')).length === 0,
      { what: 'the outbox to be empty' },
    );
    const events = await eventsInStream();
    expect(events.distinct).toBe(events.total);
  });
});
