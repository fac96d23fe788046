import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { SystemClock } from '#libs/clock';
import { endStates, liveStates, newId } from '#libs/contracts';
import { isUniqueViolation } from '#libs/persistence';
import { aCapacity, startNats, startPostgres, type TestNats, type TestPostgres } from '#libs/testing';
import { SignedHost } from '../heartbeats/signed-host.harness.js';
import type { Leadership } from '../leadership/leadership.js';
import { migratedDatabase, RuntimeHarness } from '../runtime.harness.js';

/** Lets everyone lead at once: what holds here holds whatever becomes of leadership. */
const everyoneLeads: Leadership = {
  lead: () => Promise.resolve({ term: 1, sinceMonotonicMs: 0 }),
  current: () => ({ term: 1, sinceMonotonicMs: 0 }),
  guard: () => Promise.resolve(),
  onLost: () => undefined,
  lose: () => undefined,
  resign: () => Promise.resolve(),
};

let nats: TestNats;
let postgres: TestPostgres;
let runtimes: RuntimeHarness[];

beforeAll(async () => {
  [nats, postgres] = await Promise.all([startNats(), startPostgres()]);
});
afterAll(async () => {
  await nats.stop();
  await postgres.stop();
});
beforeEach(async () => {
  const databaseUrl = await migratedDatabase(postgres);
  const start = async () =>
    RuntimeHarness.start({ databaseUrl, nats, clock: new SystemClock(), leadership: everyoneLeads });
  runtimes = [await start(), await start()];
});
afterEach(async () => {
  for (const runtime of runtimes) await runtime.stop();
});

const [live, ended] = [liveStates, endStates];

describe('one writer per account', () => {
  it('holds when two schedulers reconcile the same database at once: 200 bots, each placed once', async () => {
    const [a, b] = runtimes as [RuntimeHarness, RuntimeHarness];
    for (let i = 0; i < 4; i += 1) {
      const host = await SignedHost.create({
        capacity: aCapacity({ cpuMillis: 10_000, memoryMiB: 10_000, bots: 60 }),
      });
      await a.register(host);
      await b.register(host);
    }
    await a.bots(200);
    // Several passes each, interleaved by the database alone.
    const turns = async (runtime: RuntimeHarness): Promise<void> => {
      for (let i = 0; i < 3; i += 1) await runtime.pass();
    };
    await Promise.all([turns(a), turns(b)]);

    const rows = await a.allocations();
    expect(rows).toHaveLength(200);
    expect(new Set(rows.map((row) => row.account)).size).toBe(200);
    expect(rows.every((row) => row.epoch === 1 && row.state === 'placed')).toBe(true);
    const starts = (await a.outbox()).filter((row) => row.subject !== null);
    expect(starts).toHaveLength(200);
    const events = (await a.outbox()).filter((row) => row.event?.type === 'tradefleet.allocation.placed');
    expect(events).toHaveLength(200);
    const perHost = await a.query<{ bots: number }>(
      'SELECT count(*)::int AS bots FROM scheduler.allocations GROUP BY host',
    );
    expect(perHost.reduce((sum, { bots }) => sum + bots, 0)).toBe(200);
  });

  const insert = async (
    runtime: RuntimeHarness,
    account: string,
    host: string,
    epoch: number,
    state: string,
  ) =>
    runtime.query(
      `INSERT INTO scheduler.allocations (id, bot, account, tenant, host, epoch, bot_generation, reserved_cpu_millis,
         reserved_memory_mib, state) VALUES ($1, 'bot', $2, 'tenant', $3, $4, 1, 1, 1, $5)`,
      [newId(), account, host, epoch, state],
    );

  it.each(live)('is kept by the database itself: %s refuses every other live state', async (first) => {
    const [runtime] = runtimes as [RuntimeHarness, RuntimeHarness];
    const host = await SignedHost.create();
    await runtime.register(host);
    const { account } = await runtime.bot();
    await insert(runtime, account, host.name, 1, first);
    for (const second of live) {
      const error: unknown = await insert(runtime, account, host.name, 2, second).catch((e: unknown) => e);
      expect(isUniqueViolation(error, 'allocations_one_live_per_account')).toBe(true);
    }
  });

  it('lets ended ones stand beside a live one, and never gives an epoch twice', async () => {
    const [runtime] = runtimes as [RuntimeHarness, RuntimeHarness];
    const host = await SignedHost.create();
    await runtime.register(host);
    const { account } = await runtime.bot();
    for (const [i, state] of ended.entries()) await insert(runtime, account, host.name, i + 1, state);
    await insert(runtime, account, host.name, 10, 'running');
    const error: unknown = await insert(runtime, account, host.name, 10, 'failed').catch((e: unknown) => e);
    expect(isUniqueViolation(error, 'allocations_epoch_once')).toBe(true);
  });
});
