import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { ObservedAllocation } from '#libs/contracts';
import {
  aCapacity,
  startNats,
  startPostgres,
  VirtualClock,
  type TestNats,
  type TestPostgres,
} from '#libs/testing';
import { SignedHost } from '../heartbeats/signed-host.harness.js';
import { migratedDatabase, RuntimeHarness, seen, unknownId } from '../runtime.harness.js';

/** More than a lease, its drift and the lock delay. */
const over_ms = 20_000;

describe('a host that comes back', () => {
  let nats: TestNats;
  let postgres: TestPostgres;
  let clock: VirtualClock;
  let runtime: RuntimeHarness;
  let host: SignedHost;
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
    host = await SignedHost.create({ capacity: aCapacity({ bots: 5 }) });
    await runtime.register(host);
    await runtime.heartbeat(host);
  });
  afterEach(async () => {
    await runtime.stop();
  });

  const state = async (): Promise<string> => {
    const [row] = await runtime.query<{ state: string }>(
      'SELECT state FROM scheduler.hosts WHERE name = $1',
      [host.name],
    );
    return row?.state ?? 'gone';
  };
  /** Some heartbeats with the same news, a pass after each. */
  const saying = async (observed: ObservedAllocation[]): Promise<{ leases: unknown[]; stop: string[] }[]> => {
    const answers = [];
    for (let n = 0; n < 3; n += 1) {
      await clock.advance(1000);
      answers.push(await runtime.heartbeat(host, observed));
      await runtime.pass();
    }
    return answers;
  };
  const loseIt = async (): Promise<void> => {
    await clock.advance(over_ms);
    await runtime.pass();
    expect(await state()).toBe('down');
  };

  it('gets no work, neither its own nor that of others, while something of before is alive on it', async () => {
    const own = await runtime.bot();
    await runtime.pass();
    const old = await runtime.allocation(own.name);
    await runtime.heartbeat(host, [seen(old)]);
    await loseIt();
    const other = await runtime.bot();
    await runtime.pass();

    // The agent is another one, too; that it registers tells nothing of the containers.
    host.restart();
    await runtime.register(host);
    for (const answer of await saying([seen(old)]))
      expect(answer).toMatchObject({ leases: [], stop: [old.id] });
    expect(await state()).toBe('down');
    expect(await runtime.allocations()).toHaveLength(1);

    // Dying is not dead.
    await saying([seen(old, { state: 'stopping' })]);
    expect(await state()).toBe('down');
    expect(await runtime.allocations()).toHaveLength(1);

    await saying([seen(old, { state: 'stopped' })]);
    expect(await state()).toBe('ready');
    expect(await runtime.allocation(own.name)).toMatchObject({ epoch: 2, state: 'placed', host: host.name });
    expect(await runtime.allocation(other.name)).toMatchObject({ epoch: 1, state: 'placed' });
  });

  it('gets no work while it has what nobody knows, and none at all when it is to be drained', async () => {
    const bot = await runtime.bot();
    await runtime.pass();
    const known = await runtime.allocation(bot.name);
    await loseIt();
    const stray = seen({ ...known, id: unknownId() });
    for (const answer of await saying([stray])) expect(answer.stop).toEqual([stray.id]);
    expect(await state()).toBe('down');

    await runtime.query(
      `UPDATE scheduler.hosts SET drain_at = now(), drain_by = 'user:test', drain_reason = 'kernel' WHERE name = $1`,
      [host.name],
    );
    await saying([]);
    expect(await state()).toBe('draining');
    expect(await runtime.allocations()).toHaveLength(1);
  });

  it('has lost nothing when it is back within the lease', async () => {
    const bot = await runtime.bot();
    await runtime.pass();
    const row = await runtime.allocation(bot.name);
    await runtime.heartbeat(host, [seen(row)]);
    await clock.advance(10_000);
    host.restart();
    await runtime.register(host);
    for (const answer of await saying([seen(row)]))
      expect(answer).toMatchObject({ leases: [{ allocation: row.id, epoch: 1 }], stop: [] });
    expect(await state()).toBe('ready');
    expect(await runtime.allocations()).toHaveLength(1);
  });
});
