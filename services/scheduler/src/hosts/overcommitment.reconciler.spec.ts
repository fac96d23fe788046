import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Capacity } from '#libs/contracts';
import {
  aCapacity,
  startNats,
  startPostgres,
  VirtualClock,
  type TestNats,
  type TestPostgres,
} from '#libs/testing';
import { HeartbeatService } from '../heartbeats/heartbeat.service.js';
import { SignedHost } from '../heartbeats/signed-host.harness.js';
import { migratedDatabase, RuntimeHarness, seen } from '../runtime.harness.js';

describe('a host as placement sees it', () => {
  let nats: TestNats;
  let postgres: TestPostgres;
  let clock: VirtualClock;
  let runtime: RuntimeHarness;
  beforeAll(async () => {
    [nats, postgres] = await Promise.all([startNats(), startPostgres()]);
  });
  afterAll(async () => {
    await nats.stop();
    await postgres.stop();
  });
  beforeEach(async () => {
    clock = new VirtualClock(Date.now());
    runtime = await RuntimeHarness.start({ databaseUrl: await migratedDatabase(postgres), nats, clock });
  });
  afterEach(async () => {
    await runtime.stop();
  });

  /** A heartbeat with all it has, and this capacity. */
  const beat = async (host: SignedHost, capacity: Partial<Capacity>): Promise<void> => {
    const observed = (await runtime.allocations()).map((row) => seen(row));
    const body = { ...host.heartbeat(observed), capacity: aCapacity(capacity) };
    await runtime.app.get(HeartbeatService).answer(body, await host.proof(body));
  };
  const pass = async (): Promise<void> => {
    await clock.advance(2000);
    await runtime.pass();
  };
  const told = async (host: SignedHost): Promise<number> =>
    (await runtime.eventsOf(host.name)).filter((type) => type === 'tradefleet.host.overcommitted').length;

  it('ends nothing when it has shrunk below what runs, gives it nothing more, and tells once', async () => {
    const host = await SignedHost.create({ capacity: aCapacity({ memoryMiB: 4 * 128 }) });
    await runtime.register(host);
    await beat(host, { memoryMiB: 4 * 128 });
    await runtime.bots(3);
    await pass();
    await beat(host, { memoryMiB: 4 * 128 });
    expect(await told(host)).toBe(0);

    await beat(host, { memoryMiB: 2 * 128 });
    const late = await runtime.bot();
    for (let n = 0; n < 3; n += 1) {
      await pass();
      await beat(host, { memoryMiB: 2 * 128 });
    }
    expect(await told(host)).toBe(1);
    expect((await runtime.allocations()).map((row) => [row.state, row.stop_reason])).toEqual([
      ['running', null],
      ['running', null],
      ['running', null],
    ]);
    expect(await runtime.allocations(late.name)).toEqual([]);

    await beat(host, { memoryMiB: 4 * 128 });
    await pass();
    expect(await runtime.allocations(late.name)).toHaveLength(1);
    expect(await told(host)).toBe(1);
    await beat(host, { memoryMiB: 128 });
    await pass();
    expect(await told(host)).toBe(2);
  });

  it('has the labels an operator gave it over those of its agent', async () => {
    const host = await SignedHost.create({ labels: { zone: 'a', disk: 'ssd' } });
    await runtime.register(host);
    await beat(host, {});
    await runtime.query(`UPDATE scheduler.hosts SET operator_labels = '{"zone": "b"}'`);
    const wants = (label: string, value: string) => ({
      constraints: [{ label, operator: 'in' as const, values: [value] }],
    });
    const bots = [
      await runtime.bot(wants('zone', 'a')),
      await runtime.bot(wants('zone', 'b')),
      await runtime.bot(wants('disk', 'ssd')),
    ];
    await pass();
    const placed = await Promise.all(bots.map(async (bot) => (await runtime.allocations(bot.name)).length));
    expect(placed).toEqual([0, 1, 1]);
    // The agent does not take them away by registering again.
    host.restart();
    await runtime.register(host);
    await beat(host, {});
    const late = await runtime.bot(wants('zone', 'b'));
    await pass();
    expect(await runtime.allocations(late.name)).toHaveLength(1);
  });
});
