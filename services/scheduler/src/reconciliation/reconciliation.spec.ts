import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Policies, signatureHeader, StartCommand, StopCommand, AllocationToken } from '#libs/contracts';
import { verifySignature, verifyToken } from '#libs/messaging';
import { startNats, startPostgres, VirtualClock, type TestNats, type TestPostgres } from '#libs/testing';
import { BotRepository } from '../bots/bot.repository.js';
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
  runtime = await RuntimeHarness.start({ databaseUrl: await migratedDatabase(postgres), nats, clock });
  host = await aHost();
});
afterEach(async () => {
  await runtime.stop();
});

async function aHost(over: Parameters<typeof SignedHost.create>[0] = {}): Promise<SignedHost> {
  const made = await SignedHost.create(over);
  await runtime.register(made);
  return made;
}

/** Places and lets the host say that it runs. */
async function running(bot: string, on: SignedHost = host) {
  await runtime.pass();
  const placed = await runtime.allocation(bot);
  await runtime.heartbeat(on, [seen(placed)]);
  return runtime.allocation(bot);
}

const queueOf = async (bot: string) => {
  const [row] = await runtime.query<{ queued_reason: string | null; queued_at: Date | null }>(
    'SELECT queued_reason, queued_at FROM scheduler.bots WHERE name = $1',
    [bot],
  );
  return row;
};

describe('placing', () => {
  it('makes an allocation, its event and its signed command in one go', async () => {
    const bot = await runtime.bot({ parameters: { lots: 0.1 } });
    await runtime.pass();

    const allocation = await runtime.allocation(bot.name);
    expect(allocation).toMatchObject({ host: host.name, epoch: 1, state: 'placed', commands_sent: 1 });
    expect(await runtime.eventsOf(allocation.id)).toEqual(['tradefleet.allocation.placed']);
    const message = (await runtime.outbox()).find((row) => row.subject !== null);
    expect(message?.subject).toBe(`fleet.v1.host.${host.name}.cmd.start`);
    const command = StartCommand.parse(JSON.parse(message?.body ?? ''));
    expect(command).toMatchObject({
      host: host.name,
      account: bot.account,
      allocation: allocation.id,
      epoch: 1,
      actor: 'user:test',
      parameters: { lots: 0.1 },
    });
    await verifySignature(
      Buffer.from(message?.body ?? ''),
      message?.headers?.[signatureHeader],
      runtime.signingKey.publicJwk,
    );
    const claims = await verifyToken(command.token, {
      typ: 'allocation+jwt',
      schema: AllocationToken,
      keys: runtime.signingKey.publicJwk,
      now_ms: clock.wallMs(),
    });
    expect(claims).toMatchObject({ sub: allocation.id, host: host.name, account: bot.account, epoch: 1 });
    expect(claims.cnf.jwk).toEqual(host.sealing.publicJwk);
  });

  it('does nothing in a second pass', async () => {
    await runtime.bots(3);
    await runtime.pass();
    const before = await runtime.outbox();
    await runtime.pass();
    expect(await runtime.outbox()).toEqual(before);
    expect(await runtime.allocations()).toHaveLength(3);
  });

  it('places all others when one cannot be, and says so of that one', async () => {
    // Fits into a request, but not into a command together with all else that goes there.
    const parameters = Object.fromEntries(
      Array.from({ length: 64 }, (_, i) => [`p${i}`, '\u0001'.repeat(680)] as const),
    );
    const [bad] = await runtime.bots(1, { parameters });
    const good = await runtime.bots(20);
    await runtime.pass();
    expect(await runtime.allocations()).toHaveLength(good.length);
    expect(await runtime.allocations(bad?.name)).toEqual([]);
    expect((await queueOf(bad?.name ?? ''))?.queued_reason).toContain('because of a defect');
  });

  it('places nothing for what should not run', async () => {
    await runtime.bot({ desired: 'stopped' });
    const locked = await runtime.bot();
    await lock(locked.account);
    await runtime.pass();
    expect(await runtime.allocations()).toEqual([]);
  });
});

const lock = async (account: string): Promise<void> => {
  await runtime.query(
    `UPDATE scheduler.accounts SET locked_at = now(), locked_by = 'user:risk', locked_reason = 'too much' WHERE name = $1`,
    [account],
  );
};

describe('the queue', () => {
  it('tells once why a bot waits, and places it when there is room', async () => {
    const small = await aHost({ capacity: { cpuMillis: 100, memoryMiB: 128, bots: 1 } });
    await drain(host.name);
    const [first, second] = await runtime.bots(2);
    await runtime.pass();
    await runtime.pass();
    const rows = await runtime.allocations();
    expect(rows).toHaveLength(1);
    const waiting = rows[0]?.bot === first?.name ? second : first;
    expect((await queueOf(waiting?.name ?? ''))?.queued_reason).toBe('2 hosts: 1 draining, 1 full of bots');
    expect(await runtime.eventsOf(waiting?.name ?? '')).toEqual(['tradefleet.bot.queued']);

    const ended = rows[0];
    if (ended === undefined) throw new Error('nothing was placed');
    await runtime.change(ended.bot, 'stopped');
    await runtime.pass();
    await runtime.heartbeat(small, [seen(ended, { state: 'stopped', exitCode: 0 })]);
    await runtime.pass();
    expect(await runtime.allocation(waiting?.name ?? '')).toMatchObject({
      host: small.name,
      state: 'placed',
    });
    expect(await queueOf(waiting?.name ?? '')).toEqual({ queued_reason: null, queued_at: null });
  });

  it('tells again when the reason changes', async () => {
    await drain(host.name);
    const bot = await runtime.bot();
    await runtime.pass();
    await runtime.query(`UPDATE scheduler.hosts SET state = 'down'`);
    await runtime.pass();
    expect((await queueOf(bot.name))?.queued_reason).toBe('1 host: 1 down');
    expect(await runtime.eventsOf(bot.name)).toEqual(['tradefleet.bot.queued', 'tradefleet.bot.queued']);
  });

  it('takes the reason off a bot that should no longer run', async () => {
    await drain(host.name);
    const bot = await runtime.bot();
    await runtime.pass();
    await runtime.change(bot.name, 'stopped');
    await runtime.pass();
    expect(await queueOf(bot.name)).toEqual({ queued_reason: null, queued_at: null });
  });

  it('keeps the small ones going past a large one', async () => {
    const large = await runtime.bot({ resources: { cpuMillis: 64_000, memoryMiB: 262_144, pids: 32 } });
    const small = await runtime.bot();
    await runtime.pass();
    expect(await runtime.allocations(large.name)).toEqual([]);
    expect(await runtime.allocations(small.name)).toHaveLength(1);
  });
});

const drain = async (name: string): Promise<void> => {
  await runtime.query(
    `UPDATE scheduler.hosts SET state = 'draining', drain_reason = 'repair', drain_by = 'user:ops', drain_at = now()
     WHERE name = $1`,
    [name],
  );
};

describe('stopping', () => {
  it('asks the host once, and ends with its word', async () => {
    const bot = await runtime.bot();
    const allocation = await running(bot.name);
    await runtime.change(bot.name, 'stopped');
    await runtime.pass();
    await runtime.pass();
    expect(await runtime.commandsOf(allocation.id)).toEqual(['start', 'stop']);
    const stop = (await runtime.outbox()).find((row) => row.subject?.endsWith('.stop') === true);
    expect(StopCommand.parse(JSON.parse(stop?.body ?? ''))).toMatchObject({
      reason: 'asked',
      graceMs: 5000,
      epoch: 1,
    });

    await runtime.heartbeat(host, [seen(allocation, { state: 'stopped', exitCode: 0 })]);
    expect(await runtime.allocation(bot.name)).toMatchObject({ state: 'stopped', reason: 'asked' });
    await runtime.pass();
    expect(await runtime.allocations(bot.name)).toHaveLength(1);
  });

  it('stops the bot of a locked account, says who locked it, and does not place it again', async () => {
    const bot = await runtime.bot();
    const allocation = await running(bot.name);
    await lock(bot.account);
    await runtime.pass();
    const stop = (await runtime.outbox()).find((row) => row.subject?.endsWith('.stop') === true);
    expect(StopCommand.parse(JSON.parse(stop?.body ?? ''))).toMatchObject({
      reason: 'account-locked',
      actor: 'user:risk',
    });
    await runtime.heartbeat(host, [seen(allocation, { state: 'stopped' })]);
    await runtime.pass();
    expect(await runtime.allocation(bot.name)).toMatchObject({ state: 'stopped', reason: 'account-locked' });
    expect(await runtime.allocations(bot.name)).toHaveLength(1);
  });

  it('renews the lease through the grace of the stop, and not beyond', async () => {
    const bot = await runtime.bot();
    const allocation = await running(bot.name);
    await runtime.change(bot.name, 'stopped');
    await runtime.pass();
    await clock.advance(4999);
    const stopping = seen(allocation, { state: 'stopping' });
    expect(await runtime.heartbeat(host, [stopping])).toMatchObject({
      leases: [{ allocation: allocation.id }],
      stop: [],
    });
    await clock.advance(1);
    expect(await runtime.heartbeat(host, [stopping])).toMatchObject({ leases: [], stop: [allocation.id] });
  });

  it('deletes a bot once nothing of it lives', async () => {
    const bot = await runtime.bot();
    const allocation = await running(bot.name);
    await runtime.change(bot.name, 'deleted');
    await runtime.pass();
    expect(await runtime.query('SELECT 1 FROM scheduler.bots')).toHaveLength(1);
    await runtime.heartbeat(host, [seen(allocation, { state: 'stopped' })]);
    await runtime.pass();
    expect(await runtime.query('SELECT 1 FROM scheduler.bots')).toHaveLength(0);
    expect(await runtime.eventsOf(bot.name)).toEqual(['tradefleet.bot.deleted']);
  });
});

describe('replacing', () => {
  it('ends the allocation of the old definition, then places the new one under the next epoch', async () => {
    const bot = await runtime.bot();
    const old = await running(bot.name);
    await runtime.change(bot.name, 'running');
    await runtime.pass();
    expect(await runtime.commandsOf(old.id)).toEqual(['start', 'stop']);
    expect(await runtime.allocations(bot.name)).toHaveLength(1);
    await runtime.heartbeat(host, [seen(old, { state: 'stopped' })]);
    await runtime.pass();
    expect(await runtime.allocation(bot.name)).toMatchObject({
      epoch: 2,
      bot_generation: 2,
      state: 'placed',
    });
  });
});

describe('failures', () => {
  const fail = async (bot: string): Promise<void> => {
    const row = await runtime.allocation(bot);
    await runtime.heartbeat(host, [seen(row, { state: 'failed', reason: 'exited', exitCode: 1 })]);
  };
  const bookOf = async (bot: string) => {
    const [row] = await runtime.query<{ failures: number; retry_at: Date | null; gave_up_at: Date | null }>(
      'SELECT failures, retry_at, gave_up_at FROM scheduler.bots WHERE name = $1',
      [bot],
    );
    return row;
  };

  it('are tried again after a delay that grows', async () => {
    const bot = await runtime.bot();
    await running(bot.name);
    await fail(bot.name);
    await runtime.pass();
    expect(await runtime.allocations(bot.name)).toHaveLength(1);
    expect((await bookOf(bot.name))?.failures).toBe(1);

    await clock.advance(6000);
    await runtime.pass();
    expect(await runtime.allocation(bot.name)).toMatchObject({ epoch: 2, state: 'placed' });
    expect((await bookOf(bot.name))?.retry_at).toBeNull();
    await fail(bot.name);
    const book = await bookOf(bot.name);
    expect(book?.failures).toBe(2);
    expect((book?.retry_at?.getTime() ?? 0) - clock.wallMs()).toBeGreaterThanOrEqual(10_000);
  });

  it('lead to another host, and back when all of them have failed it as often', async () => {
    const other = await aHost();
    const reschedule = { ...Policies.parse({}).reschedule, jitter: 0 };
    const bot = await runtime.bot({ policies: { ...Policies.parse({}), reschedule } });
    const failedOn: string[] = [];
    const where = new Map([host, other].map((each) => [each.name, each]));
    for (let round = 0; round < 4; round += 1) {
      await runtime.pass();
      const row = await runtime.allocation(bot.name);
      expect(row.epoch).toBe(round + 1);
      failedOn.push(row.host);
      const on = where.get(row.host);
      if (on === undefined) throw new Error('an unknown host');
      await runtime.heartbeat(on, [seen(row, { state: 'failed', reason: 'exited', exitCode: 1 })]);
      await clock.advance(5000 * 2 ** round);
      await Promise.all([...where.values()].map((each) => runtime.heartbeat(each)));
    }
    const names = new Set(where.keys());
    expect([new Set(failedOn.slice(0, 2)), new Set(failedOn.slice(2))]).toEqual([names, names]);
  });

  it('end in giving up, until somebody starts the bot again', async () => {
    const reschedule = { ...Policies.parse({}).reschedule, attempts: 1 };
    const bot = await runtime.bot({ policies: { ...Policies.parse({}), reschedule } });
    await running(bot.name);
    await fail(bot.name);
    await clock.advance(6000);
    await runtime.pass();
    expect(await bookOf(bot.name)).toMatchObject({ failures: 1, gave_up_at: null });
    await fail(bot.name);
    expect(await bookOf(bot.name)).toMatchObject({
      failures: 2,
      retry_at: null,
      gave_up_at: expect.any(Date),
    });
    expect(await runtime.eventsOf(bot.name)).toContain('tradefleet.bot.gave-up');
    await clock.advance(3 * 3_600_000);
    await runtime.heartbeat(host);
    await runtime.pass();
    expect(await runtime.allocation(bot.name)).toMatchObject({ epoch: 2, state: 'failed' });

    await new BotRepository(runtime.dataSource).tryAgain(runtime.dataSource.manager, bot.name);
    await runtime.pass();
    expect(await runtime.allocation(bot.name)).toMatchObject({ epoch: 3, state: 'placed' });
  });

  it('of an older definition do not hold up a new one', async () => {
    const bot = await runtime.bot();
    await running(bot.name);
    await fail(bot.name);
    await runtime.change(bot.name, 'running');
    await runtime.pass();
    expect(await runtime.allocation(bot.name)).toMatchObject({ epoch: 2, bot_generation: 2 });
    expect(await bookOf(bot.name)).toEqual({ failures: 0, retry_at: null, gave_up_at: null });
  });
});

describe('a command of which nothing came', () => {
  it('is sent again, under a new id, less and less often', async () => {
    const bot = await runtime.bot();
    await runtime.pass();
    const { id } = await runtime.allocation(bot.name);
    const sentAfter = async (ms: number): Promise<number> => {
      for (let passed = 0; passed < ms; passed += 1000) {
        await clock.advance(1000);
        await runtime.heartbeat(host);
        await runtime.pass();
      }
      return (await runtime.commandsOf(id)).length;
    };
    expect(await sentAfter(4000)).toBe(1);
    expect(await sentAfter(1000)).toBe(2);
    expect(await sentAfter(9000)).toBe(2);
    expect(await sentAfter(1000)).toBe(3);
    const ids = (await runtime.outbox()).flatMap(({ subject, body }) =>
      subject === null ? [] : [(JSON.parse(body) as { id: string }).id],
    );
    expect(new Set(ids).size).toBe(3);
    expect(await runtime.allocations(bot.name)).toHaveLength(1);
  });

  it('is not sent again once the host has got on', async () => {
    const bot = await runtime.bot();
    await runtime.pass();
    const placed = await runtime.allocation(bot.name);
    await runtime.heartbeat(host, [seen(placed, { state: 'accepted' })]);
    await clock.advance(10_000);
    await runtime.heartbeat(host, [seen(placed, { state: 'accepted' })]);
    await runtime.pass();
    expect(await runtime.commandsOf(placed.id)).toEqual(['start']);
  });

  it('a stop that is sent again names who wanted it, not who changed the bot', async () => {
    const bot = await runtime.bot();
    const allocation = await running(bot.name);
    await lock(bot.account);
    await runtime.pass();
    await clock.advance(5000);
    await runtime.heartbeat(host, [seen(allocation)]);
    await runtime.pass();
    const stops = (await runtime.outbox()).flatMap(({ subject, body }) =>
      subject?.endsWith('.stop') === true ? [(JSON.parse(body) as { actor: string }).actor] : [],
    );
    expect(stops).toEqual(['user:risk', 'user:risk']);
  });

  it('a stop too is sent again', async () => {
    const bot = await runtime.bot();
    const allocation = await running(bot.name);
    await runtime.change(bot.name, 'stopped');
    await runtime.pass();
    await clock.advance(5000);
    await runtime.heartbeat(host, [seen(allocation)]);
    await runtime.pass();
    expect(await runtime.commandsOf(allocation.id)).toEqual(['start', 'stop', 'stop']);
  });
});
