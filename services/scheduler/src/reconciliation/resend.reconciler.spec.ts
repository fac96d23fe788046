import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { startNats, startPostgres, VirtualClock, type TestNats, type TestPostgres } from '#libs/testing';
import { SignedHost } from '../heartbeats/signed-host.harness.js';
import { migratedDatabase, RuntimeHarness, seen } from '../runtime.harness.js';

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
  const config = { commandSendsMax: 3, commandResendMs: 1000, commandResendMaxMs: 2000 };
  const databaseUrl = await migratedDatabase(postgres);
  runtime = await RuntimeHarness.start({ databaseUrl, nats, clock, config });
  host = await SignedHost.create();
  await runtime.register(host);
});
afterEach(async () => {
  await runtime.stop();
});

/** Lets time pass, the host being heard all the while without the allocation, until its state is another. */
async function untilNo(state: string, bot: string): Promise<number> {
  for (let second = 0; second < 60; second += 1) {
    const allocation = (await runtime.allocations(bot))[0];
    if (allocation?.state !== state) return second;
    await clock.advance(1000);
    await runtime.heartbeat(host);
    await runtime.pass();
  }
  throw new Error(`${bot} stays ${state}`);
}

describe('a start that its host never takes up', () => {
  it('is given up as rejected, which counts as a failure and frees the account for another try', async () => {
    const bot = await runtime.bot();
    await runtime.pass();
    const first = await runtime.allocation(bot.name);
    await untilNo('placed', bot.name);

    const commands = await runtime.commandsOf(first.id);
    expect(commands.filter((verb) => verb === 'start')).toHaveLength(3);
    expect(commands).toContain('stop');
    expect((await runtime.allocations(bot.name))[0]).toMatchObject({ state: 'failed', reason: 'rejected' });
    const [book] = await runtime.query<{ failures: number }>(
      'SELECT failures FROM scheduler.bots WHERE name = $1',
      [bot.name],
    );
    expect(book?.failures).toBe(1);

    await clock.advance(10_000);
    await runtime.heartbeat(host);
    await runtime.pass();
    expect(await runtime.allocation(bot.name)).toMatchObject({ epoch: 2, state: 'placed' });
  });

  it('is not given up once the host has it', async () => {
    const bot = await runtime.bot();
    await runtime.pass();
    const allocation = await runtime.allocation(bot.name);
    await runtime.heartbeat(host, [seen(allocation, { state: 'accepted' })]);
    for (let second = 0; second < 30; second += 1) {
      await clock.advance(1000);
      await runtime.heartbeat(host, [seen(allocation, { state: 'accepted' })]);
      await runtime.pass();
    }
    expect(await runtime.commandsOf(allocation.id)).toEqual(['start']);
  });
});
