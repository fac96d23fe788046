import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { SystemClock } from '#libs/clock';
import { newId } from '#libs/contracts';
import { aCapacity, startNats, startPostgres, type TestNats, type TestPostgres } from '#libs/testing';
import { HeartbeatService } from '../heartbeats/heartbeat.service.js';
import { SignedHost } from '../heartbeats/signed-host.harness.js';
import type { Leadership } from '../leadership/leadership.js';
import { migratedDatabase, RuntimeHarness } from '../runtime.harness.js';
import { AllocationService } from './allocation.service.js';

/** Two schedulers that both take themselves for the leader: only the database is between them. */
const everyoneLeads: Leadership = {
  lead: () => Promise.resolve({ term: 1, sinceMonotonicMs: 0 }),
  current: () => ({ term: 1, sinceMonotonicMs: 0 }),
  guard: () => Promise.resolve(),
  onLost: () => undefined,
  lose: () => undefined,
  resign: () => Promise.resolve(),
};

describe('room on a host', () => {
  let nats: TestNats;
  let postgres: TestPostgres;
  let first: RuntimeHarness;
  let second: RuntimeHarness;
  beforeAll(async () => {
    [nats, postgres] = await Promise.all([startNats(), startPostgres()]);
  });
  afterAll(async () => {
    await nats.stop();
    await postgres.stop();
  });
  beforeEach(async () => {
    const databaseUrl = await migratedDatabase(postgres);
    const clock = new SystemClock();
    first = await RuntimeHarness.start({ databaseUrl, nats, clock, leadership: everyoneLeads });
    second = await RuntimeHarness.start({ databaseUrl, nats, clock, leadership: everyoneLeads });
  });
  afterEach(async () => {
    await first.stop();
    await second.stop();
  });

  const aHost = async (capacity: Parameters<typeof aCapacity>[0]): Promise<SignedHost> => {
    const host = await SignedHost.create({ capacity: aCapacity(capacity) });
    await first.register(host);
    return host;
  };
  /** As a placement that saw an empty host would have it. */
  const place = async (runtime: RuntimeHarness, bots: readonly { name: string }[], host: string) =>
    await runtime.app
      .get(AllocationService)
      .place(bots.map(({ name }) => ({ bot: name, generation: 1, host, fresh: true })));
  const living = async (host: string): Promise<number> =>
    (await first.allocations()).filter((row) => row.host === host && row.state === 'placed').length;

  it.each([
    ['bots', { bots: 3 }],
    ['CPU', { cpuMillis: 399 }],
    ['memory', { memoryMiB: 3 * 128 }],
  ])('is not given away twice by two placements at the same time: %s', async (_what, capacity) => {
    const host = await aHost(capacity);
    const bots = await first.bots(10);
    const made = await Promise.all([
      place(first, bots.slice(0, 5), host.name),
      place(second, bots.slice(5), host.name),
    ]);
    expect(made[0] + made[1]).toBe(3);
    expect(await living(host.name)).toBe(3);
    // What was left out has used no epoch.
    expect(await first.query('SELECT 1 FROM scheduler.fences')).toHaveLength(3);
  });

  it('is as much as the host has when it is taken, not when it was looked at', async () => {
    const host = await aHost({ bots: 5 });
    const bots = await first.bots(5);
    await first.query('UPDATE scheduler.leadership SET term = 1');
    const body = { ...host.heartbeat(), capacity: aCapacity({ bots: 2 }) };
    await first.app.get(HeartbeatService).answer(body, await host.proof(body));
    expect(await place(first, bots, host.name)).toBe(2);
  });

  it('is held by a move for its own account alone', async () => {
    const host = await aHost({ bots: 1 });
    const [other, moving] = await first.bots(2);
    if (moving === undefined || other === undefined) throw new Error('Two bots were wanted.');
    await first.query(
      `INSERT INTO scheduler.moves (id, bot, tenant, account, allocation, epoch, from_host, to_host, reason,
         requested_by, state, prepare, reserved_cpu_millis, reserved_memory_mib, created_at, updated_at)
       VALUES ($1, $2, $3, $4, $5, 1, 'elsewhere', $6, 'drain', 'user:test', 'switching', true, 100, 128, now(), now())`,
      [newId(), moving.name, moving.tenant, moving.account, newId(), host.name],
    );
    expect(await place(first, [other], host.name)).toBe(0);
    expect(await place(first, [other, moving], host.name)).toBe(1);
    expect((await first.allocations()).map((row) => row.bot)).toEqual([moving.name]);
  });

  it('is none on a host that is gone', async () => {
    const host = await aHost({});
    const bots = await first.bots(1);
    await first.query('DELETE FROM scheduler.hosts WHERE name = $1', [host.name]);
    expect(await place(first, bots, host.name)).toBe(0);
  });
});
