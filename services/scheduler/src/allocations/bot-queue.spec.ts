import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Policies } from '#libs/contracts';
import {
  aCapacity,
  startNats,
  startPostgres,
  uniqueName,
  VirtualClock,
  type TestNats,
  type TestPostgres,
} from '#libs/testing';
import { BotRepository } from '../bots/bot.repository.js';
import { SignedHost } from '../heartbeats/signed-host.harness.js';
import { migratedDatabase, RuntimeHarness } from '../runtime.harness.js';

const minute_ms = 60_000;
/** Of one point of priority: two points a minute. */
const ageing_ms = 30_000;

describe('the queue of bots that wait for room', () => {
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
    runtime = await RuntimeHarness.start({
      databaseUrl: await migratedDatabase(postgres),
      nats,
      clock,
      config: { queueAgeingMs: ageing_ms },
    });
  });
  afterEach(async () => {
    await runtime.stop();
  });

  /** A bot that waits from now on. */
  const queued = async (priority: number, tenant?: string): Promise<string> => {
    const { name } = await runtime.bot({
      policies: Policies.parse({ priority }),
      ...(tenant === undefined ? {} : { tenant }),
    });
    await runtime.pass();
    return name;
  };
  /** Room for this many, and the bots that got it. */
  const placed = async (bots_max: number): Promise<string[]> => {
    const host = await SignedHost.create({ capacity: aCapacity({ bots: bots_max }) });
    await runtime.register(host);
    await runtime.heartbeat(host);
    await runtime.pass();
    return (await runtime.allocations()).filter((row) => row.host === host.name).map((row) => row.bot);
  };
  const placeOf = async (bot: string) =>
    await new BotRepository(runtime.dataSource).placeInQueue(bot, ageing_ms);

  it('gives room to the highest priority first, then to who waits longest', async () => {
    const low = await queued(10);
    await clock.advance(1000);
    const early = await queued(50);
    await clock.advance(1000);
    const late = await queued(50);
    const high = await queued(90);
    expect(await Promise.all([high, early, late, low].map(placeOf))).toEqual(
      [0, 1, 2, 3].map((before) => ({ before, waiting: 4 })),
    );
    expect(await placed(2)).toEqual(expect.arrayContaining([high, early]));
    expect(await placeOf(high)).toBeNull();
    expect(await placeOf(low)).toEqual({ before: 1, waiting: 2 });
    expect(await placed(1)).toEqual([late]);
    expect(await placed(1)).toEqual([low]);
  });

  it('adds the priority of the tenant', async () => {
    const [favoured, other] = [uniqueName('tenant'), uniqueName('tenant')];
    const first = await queued(60, other);
    const second = await queued(50, favoured);
    await runtime.query('UPDATE scheduler.tenants SET priority = 65 WHERE name = $1', [favoured]);
    expect(await placeOf(second)).toEqual({ before: 0, waiting: 2 });
    expect(await placed(1)).toEqual([second]);
    expect(await placed(1)).toEqual([first]);
  });

  it('lets nobody starve: the lowest priority overtakes whoever comes late enough', async () => {
    const low = await queued(0);
    // 100 points are worth 50 minutes.
    await clock.advance(49 * minute_ms);
    const before = await queued(100);
    await clock.advance(2 * minute_ms);
    const after = await queued(100);
    expect(await placed(1)).toEqual([before]);
    expect(await placed(1)).toEqual([low]);
    expect(await placed(1)).toEqual([after]);
  });

  it('treats a bot without a priority as one of the middle', async () => {
    const without = await queued(0);
    await runtime.query(`UPDATE scheduler.bots SET policies = policies - 'priority' WHERE name = $1`, [
      without,
    ]);
    const [lower, higher] = [await queued(49), await queued(51)];
    expect(await Promise.all([higher, without, lower].map(placeOf))).toEqual(
      [0, 1, 2].map((before) => ({ before, waiting: 3 })),
    );
  });
});
