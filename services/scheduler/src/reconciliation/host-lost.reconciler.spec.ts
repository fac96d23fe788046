import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { startNats, startPostgres, VirtualClock, type TestNats, type TestPostgres } from '#libs/testing';
import { AllocationService } from '../allocations/allocation.service.js';
import { HeartbeatService } from '../heartbeats/heartbeat.service.js';
import { SignedHost } from '../heartbeats/signed-host.harness.js';
import { migratedDatabase, RuntimeHarness } from '../runtime.harness.js';

let nats: TestNats;
let postgres: TestPostgres;
let clock: VirtualClock;
let runtime: RuntimeHarness;

beforeAll(async () => {
  [nats, postgres] = await Promise.all([startNats(), startPostgres()]);
  clock = new VirtualClock(Date.now());
  runtime = await RuntimeHarness.start({ databaseUrl: await migratedDatabase(postgres), nats, clock });
});
afterAll(async () => {
  await runtime.stop();
  await nats.stop();
  await postgres.stop();
});

const down = async (): Promise<string[]> =>
  (
    await runtime.query<{ name: string }>(
      `SELECT name FROM scheduler.hosts WHERE state = 'down' ORDER BY name`,
    )
  ).map((row) => row.name);

it('frees the accounts of a lost host although another one cannot be declared down yet', async () => {
  const hosts = [await SignedHost.create(), await SignedHost.create()];
  for (const host of hosts) await runtime.register(host);
  const [first = '', second = ''] = hosts.map((host) => host.name).sort();
  const service = runtime.app.get(AllocationService);
  const loseHost = service.loseHost.bind(service);
  const failing: typeof loseHost = async (host, leases) => {
    if (host === first) throw new Error('its rows are locked');
    return loseHost(host, leases);
  };
  Object.assign(service, { loseHost: failing });
  await clock.advance(60_000);
  await runtime.pass();
  expect(await down()).toEqual([second]);

  Object.assign(service, { loseHost });
  await runtime.pass();
  expect(await down()).toEqual([first, second]);
});

it('answers a host again that was declared down although the answer of the database was not heard', async () => {
  const host = await SignedHost.create();
  await runtime.register(host);
  const service = runtime.app.get(AllocationService);
  const loseHost = service.loseHost.bind(service);
  const unheard: typeof loseHost = async (name, leases) => {
    await loseHost(name, leases);
    throw new Error('the connection broke after the commit');
  };
  Object.assign(service, { loseHost: unheard });
  await clock.advance(60_000);
  await runtime.pass();
  expect(await down()).toContain(host.name);

  Object.assign(service, { loseHost });
  await runtime.pass();
  const body = host.heartbeat([]);
  await runtime.app.get(HeartbeatService).answer(body, await host.proof(body));
  expect(await down()).not.toContain(host.name);
});
