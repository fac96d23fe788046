import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { SystemClock } from '#libs/clock';
import type { Operation } from '#libs/contracts';
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
import { SchedulerConfig } from '../scheduler.config.js';
import { startScheduler, type RunningScheduler } from '../scheduler.process.js';
import { Oracle, SimulatedAgent } from '../simulated-agent.harness.js';

/** The whole scheduler, started as its main does, with simulated agents on a real broker. */
const clock = new SystemClock();
const logger = createLogger({ service: 'scheduler', level: 'silent' });
let nats: TestNats;
let postgres: TestPostgres;
let databaseUrl: string;
let folder: string;
let key: SigningKey;
let client: Messaging;
let oracle: Oracle;
let agents: SimulatedAgent[];
let running: RunningScheduler | null;
let tenant: string;

beforeEach(async () => {
  [nats, postgres] = await Promise.all([startNats(), startPostgres()]);
  databaseUrl = await postgres.createDatabase();
  folder = await mkdtemp(join(tmpdir(), 'tradefleet-moves-'));
  key = await SigningKey.generate();
  await key.toNewFile(join(folder, 'key.jwk'));
  client = await connectMessaging({ servers: nats.url, name: 'client', logger });
  oracle = new Oracle();
  agents = [];
  tenant = uniqueName('tenant');
  running = null;
  await begin();
});
afterEach(async () => {
  for (const agent of agents) await agent.stop();
  await running?.stop();
  await client.drain();
  await nats.stop();
  await postgres.stop();
  await rm(folder, { recursive: true, force: true });
  // However bots were moved, and whoever led: no account was ever traded twice at a time.
  expect(oracle.overlaps()).toEqual([]);
});

async function begin(): Promise<void> {
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
  running = await startScheduler({ config, logger, clock, onLeadershipLost: () => undefined });
}
async function agent(bots = 100): Promise<SimulatedAgent> {
  const started = await SimulatedAgent.start({
    natsUrl: nats.url,
    scheduler: () => key.publicJwk,
    clock,
    oracle,
    host: { capacity: aCapacity({ cpuMillis: 10_000, memoryMiB: 100_000, bots }) },
  });
  agents.push(started);
  return started;
}

/** Bots that run. */
async function bots(count: number): Promise<string[]> {
  const names = Array.from({ length: count }, (_, i) => `${tenant}-${i}`);
  const manifest = {
    apiVersion: 'tradefleet/v1' as const,
    tenants: [
      {
        name: tenant,
        accounts: names.map((name, i) => ({ name, server: 'Paper-Demo', login: 1_000_000 + i })),
        bots: names.map((name) => ({ name, account: name, runtime: 'paper' as const })),
      },
    ],
  };
  const { version } = await client.call('fleet.plan', { manifest });
  const { operation } = await client.call('fleet.apply', { manifest, version });
  expect((await ended(operation)).state).toBe('succeeded');
  return names;
}

async function ended(operation: string): Promise<Operation> {
  return waitFor(
    async () => {
      // The scheduler may be between two lives.
      const answer = await client
        .call('operations.wait', { id: operation, timeoutMs: 1000 })
        .catch(() => null);
      return answer === null || answer.state === 'running' ? null : answer;
    },
    { timeoutMs: 60_000, what: 'the operation to end' },
  );
}
const drainOperation = async (): Promise<string> => {
  const { operations } = await client.call('operations.list', {});
  return operations.find(({ kind }) => kind === 'hosts.drain')?.id ?? '';
};
const hostsOf = async (names: readonly string[]): Promise<(string | null)[]> =>
  Promise.all(names.map(async (name) => (await client.call('bots.get', { name })).status.host));

describe('with real agents on the other side', () => {
  it('a host is drained although the scheduler ends in the midst of it', async () => {
    const from = await agent();
    const names = await bots(12);
    const to = await agent();
    let prepared = 0;
    to.preparation = () => {
      prepared += 1;
      return null;
    };
    await client.call('hosts.drain', { name: from.name, reason: 'new disk', parallel: 2 });
    const operation = await drainOperation();
    await waitFor(() => prepared >= 3, { what: 'some bots to be prepared', timeoutMs: 60_000 });
    await running?.stop();
    await begin();
    expect((await ended(operation)).state).toBe('succeeded');
    const host = await waitFor(
      async () => {
        const read = await client.call('hosts.get', { name: from.name });
        return (read.drain?.endedAt ?? null) === null ? null : read;
      },
      { timeoutMs: 60_000, what: 'the drain to be told to have ended' },
    );
    expect(host.drain).toMatchObject({ total: 12, moved: 12, moving: 0, waiting: 0 });
    const moves = await waitFor(
      async () => {
        const page = await client.call('moves.list', { host: to.name, state: 'done' });
        return page.moves.length === 12 ? page.moves : null;
      },
      { timeoutMs: 60_000, what: 'every move to be done' },
    );
    expect(new Set(moves.map(({ bot }) => bot))).toEqual(new Set(names));
    expect(moves.every((move) => move.prepared && move.gapMs !== null && move.from === from.name)).toBe(true);
    expect(new Set(await hostsOf(names))).toEqual(new Set([to.name]));
  }, 240_000);

  it('a drain that keeps fails at its deadline with the names of those that stay, and they go on', async () => {
    const from = await agent();
    const names = await bots(3);
    const to = await agent(1);
    await client.call('hosts.drain', { name: from.name, reason: 'new disk', deadlineMs: 3000 });
    const operation = await ended(await drainOperation());
    expect(operation).toMatchObject({ state: 'failed', progress: { done: 3, failed: 2, total: 3 } });
    const stayed = operation.targets.filter(({ state }) => state === 'failed');
    for (const { reason } of stayed)
      expect(reason).toMatch(/is draining, and no other can take it: .*; it goes on where it is$/);
    for (const { bot } of stayed) {
      const { status } = await client.call('bots.get', { name: bot });
      expect(status).toMatchObject({ phase: 'running', host: from.name, allocation: { epoch: 1 } });
    }
    expect((await hostsOf(names)).filter((host) => host === to.name)).toHaveLength(1);
  }, 180_000);

  it('hosts are rebalanced, but for bots whose target does not get ready', async () => {
    const full = await agent(100);
    const names = await bots(40);
    const empty = await agent(100);
    const [shy = ''] = names;
    const asked = { ranForMs: 0, tolerancePercent: 1, movesMax: 5 };
    const plan = await client.call('fleet.rebalance-plan', asked);
    expect(plan.spread.before).toBe(40);
    expect(plan.moves).toHaveLength(5);
    expect(plan.moves.map(({ bot }) => bot)).toContain(shy);
    empty.preparation = ({ bot }) => (bot === shy ? 'prepare-failed' : null);
    const { operation } = await client.call('fleet.rebalance', { ...asked, version: plan.version });
    const done = await ended(operation);
    expect(done).toMatchObject({ state: 'failed', progress: { done: 5, failed: 1, total: 5 } });
    expect(done.targets.find(({ state }) => state === 'failed')).toMatchObject({
      bot: shy,
      reason: `${empty.name} could not get ready: as the test has it`,
    });
    const gone = plan.moves.map(({ bot }) => bot).filter((bot) => bot !== shy);
    expect(new Set(await hostsOf(gone))).toEqual(new Set([empty.name]));
    expect(await client.call('bots.get', { name: shy })).toMatchObject({
      status: { phase: 'running', host: full.name, allocation: { epoch: 1 } },
    });
  }, 180_000);
});
