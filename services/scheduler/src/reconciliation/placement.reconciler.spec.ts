import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { startNats, startPostgres, VirtualClock, type TestNats, type TestPostgres } from '#libs/testing';
import { AllocationService } from '../allocations/allocation.service.js';
import { SignedHost } from '../heartbeats/signed-host.harness.js';
import { migratedDatabase, RuntimeHarness, seen } from '../runtime.harness.js';
import { ReconcilerLoop } from './reconciler.loop.js';

let nats: TestNats;
let postgres: TestPostgres;
let clock: VirtualClock;
let runtime: RuntimeHarness;

beforeAll(async () => {
  [nats, postgres] = await Promise.all([startNats(), startPostgres()]);
  clock = new VirtualClock(Date.now());
  const databaseUrl = await migratedDatabase(postgres);
  runtime = await RuntimeHarness.start({ databaseUrl, nats, clock, config: { placementBatch: 1 } });
});
afterAll(async () => {
  await runtime.stop();
  await nats.stop();
  await postgres.stop();
});

it('does not keep a stop waiting until all bots are placed', async () => {
  const host = await SignedHost.create();
  await runtime.register(host);
  const unwanted = await runtime.bot();
  await runtime.pass();
  const running = await runtime.allocation(unwanted.name);
  await runtime.heartbeat(host, [seen(running)]);

  const service = runtime.app.get(AllocationService);
  const place = service.place.bind(service);
  const slow = async (places: Parameters<typeof place>[0]): Promise<number> => {
    await clock.advance(150);
    return place(places);
  };
  Object.assign(service, { place: slow });
  const waiting = await runtime.bots(5);
  const loop = runtime.app.get(ReconcilerLoop);
  const placed = async (): Promise<number> =>
    (await runtime.allocations()).filter((row) => waiting.some((bot) => bot.name === row.bot)).length;

  expect(await loop.pass()).toBe(true);
  expect(await placed()).toBe(2);
  await runtime.change(unwanted.name, 'stopped');
  expect(await loop.pass()).toBe(true);
  expect(await runtime.commandsOf(running.id)).toEqual(['start', 'stop']);
  expect(await placed()).toBe(4);
  expect(await loop.pass()).toBe(false);
  expect(await placed()).toBe(5);
});
