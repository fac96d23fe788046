import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { startNats, startPostgres, VirtualClock, type TestNats, type TestPostgres } from '#libs/testing';
import { SignedHost } from '../heartbeats/signed-host.harness.js';
import { migratedDatabase, RuntimeHarness, seen } from '../runtime.harness.js';

let nats: TestNats;
let postgres: TestPostgres;
let runtime: RuntimeHarness;

beforeAll(async () => {
  [nats, postgres] = await Promise.all([startNats(), startPostgres()]);
  const clock = new VirtualClock(Date.now());
  runtime = await RuntimeHarness.start({ databaseUrl: await migratedDatabase(postgres), nats, clock });
});
afterAll(async () => {
  await runtime.stop();
  await nats.stop();
  await postgres.stop();
});

it('what a bot says, whatever it is, does not keep its host from being answered', async () => {
  const host = await SignedHost.create();
  await runtime.register(host);
  const [bad, good] = [await runtime.bot(), await runtime.bot()];
  await runtime.pass();
  const [failed, running] = [await runtime.allocation(bad.name), await runtime.allocation(good.name)];

  const detail = 'The bot ended by itself. It says: \0 and \uD800';
  const answer = await runtime.heartbeat(host, [
    seen(failed, { state: 'failed', reason: 'exited', detail }),
    seen(running),
  ]);
  expect(answer.leases).toEqual([{ allocation: running.id, epoch: running.epoch }]);
  expect(await runtime.allocation(bad.name)).toMatchObject({
    state: 'failed',
    detail: 'The bot ended by itself. It says:   and \uFFFD',
  });
});
