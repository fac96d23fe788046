import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { newId, Policies, ProblemError } from '#libs/contracts';
import { SigningKey } from '#libs/messaging';
import {
  startNats,
  startPostgres,
  VirtualClock,
  waitFor,
  type TestNats,
  type TestPostgres,
} from '#libs/testing';
import { AllocationRepository } from '../allocations/allocation.repository.js';
import { migratedDatabase, RuntimeHarness, seen, unknownId, type AllocationRow } from '../runtime.harness.js';
import { HeartbeatService } from './heartbeat.service.js';
import { ObservationStore } from './observation.store.js';
import { RegistrationService } from './registration.service.js';
import { SignedHost } from './signed-host.harness.js';

/** 15 s, a thousandth more, and a second. */
const over_ms = 16_015;
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
  host = await SignedHost.create();
  await runtime.register(host);
});
afterEach(async () => {
  await runtime.stop();
});

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
    return 'none';
  } catch (error) {
    if (error instanceof ProblemError) return error.code;
    throw error;
  }
};
const registrations = () => runtime.app.get(RegistrationService);
const heartbeats = () => runtime.app.get(HeartbeatService);
const stateOf = async (name: string): Promise<string | undefined> => {
  const [row] = await runtime.query<{ state: string }>('SELECT state FROM scheduler.hosts WHERE name = $1', [
    name,
  ]);
  return row?.state;
};
async function running(bot: { name: string }): Promise<AllocationRow> {
  await runtime.pass();
  await runtime.heartbeat(host, [seen(await runtime.allocation(bot.name))]);
  return runtime.allocation(bot.name);
}

describe('registration', () => {
  it('makes the host known, its commands kept, and says how long leases last', async () => {
    const other = await SignedHost.create();
    const body = other.register();
    expect(await registrations().register(body, await other.proof(body))).toEqual({
      host: other.name,
      incarnation: other.incarnation,
      leaseTtlMs: 15_000,
      heartbeatIntervalMs: 3000,
    });
    expect(await stateOf(other.name)).toBe('ready');
    expect(await runtime.eventsOf(other.name)).toEqual(['tradefleet.host.registered']);
    const manager = await runtime.messaging.manager();
    const consumer = await manager.consumers.info('COMMANDS', `agent-${other.name}`);
    expect(consumer.config.filter_subject).toBe(`fleet.v1.host.${other.name}.cmd.>`);
  });

  it('is told once for an incarnation, however often it is repeated', async () => {
    await runtime.register(host);
    await runtime.register(host);
    expect(await runtime.eventsOf(host.name)).toEqual(['tradefleet.host.registered']);
    host.restart();
    await runtime.register(host);
    expect(await runtime.eventsOf(host.name)).toEqual([
      'tradefleet.host.registered',
      'tradefleet.host.registered',
    ]);
  });

  it('needs the offered key to have signed it', async () => {
    const other = await SignedHost.create();
    const body = other.register();
    const stranger = await SigningKey.generate();
    const proof = await other.proof(body);
    const forged = { ...proof, signature: await stranger.sign(proof.bytes) };
    expect(await codeOf(registrations().register(body, forged))).toBe('bad_signature');
    expect(await codeOf(registrations().register(body, { ...proof, signature: undefined }))).toBe(
      'bad_signature',
    );
    const changed = { ...proof, bytes: Buffer.concat([proof.bytes, Buffer.from(' ')]) };
    expect(await codeOf(registrations().register(body, changed))).toBe('bad_signature');
    expect(await stateOf(other.name)).toBeUndefined();
  });

  it('keeps a name for the key that had it first', async () => {
    const thief = await SignedHost.create({ host: host.name });
    const body = thief.register();
    expect(await codeOf(registrations().register(body, await thief.proof(body)))).toBe('host_key_mismatch');
    const [row] = await runtime.query<{ signing_key: { x: string } }>(
      'SELECT signing_key FROM scheduler.hosts',
    );
    expect(row?.signing_key.x).toBe(host.key.publicJwk.x);
  });

  it('keeps a copy of a machine out while the leases of the original may live', async () => {
    const original = await SignedHost.create({ bootId: 'first-boot', labels: { disk: 'one' } });
    await runtime.register(original);
    const bot = await runtime.bot({
      policies: Policies.parse({ leaseTtlMs: 60_000 }),
      constraints: [{ label: 'disk', operator: 'exists', values: [] }],
    });
    await runtime.pass();
    const allocation = await runtime.allocation(bot.name);
    await runtime.heartbeat(original, [seen(allocation)]);
    const copy = original.register({ incarnation: newId(), bootId: 'second-boot' });
    const knock = async () => await codeOf(registrations().register(copy, await original.proof(copy)));
    expect(await knock()).toBe('unavailable');
    // The original is still the host, and what it is given counts.
    await clock.advance(50_000);
    expect((await runtime.heartbeat(original, [seen(allocation)])).leases).toHaveLength(1);
    await clock.advance(60_000);
    expect(await knock()).toBe('unavailable');
    await clock.advance(2000);
    await registrations().register(copy, await original.proof(copy));
    expect(await codeOf(runtime.heartbeat(original, [seen(allocation)]))).toBe('host_not_registered');
  });

  it('lets an agent that was started again in at once', async () => {
    const same = await SignedHost.create({ bootId: 'only-boot' });
    await runtime.register(same);
    await runtime.heartbeat(same);
    same.restart();
    await runtime.register(same);
    await runtime.heartbeat(same);
  });

  it('keeps an agent out that another of the same host and key has followed', async () => {
    await runtime.register(host);
    const superseded = host.register();
    const proof = await host.proof(superseded);
    host.restart();
    await runtime.register(host);
    expect(await codeOf(registrations().register(superseded, proof))).toBe('host_superseded');
    const [row] = await runtime.query<{ incarnation: string }>(
      'SELECT incarnation FROM scheduler.hosts WHERE name = $1',
      [host.name],
    );
    expect(row?.incarnation).toBe(host.incarnation);
    await runtime.register(host);
    await runtime.heartbeat(host);
  });

  it('must come on its own subject', async () => {
    const body = host.register();
    expect(
      await codeOf(registrations().register(body, await host.proof(body, { subjectHost: 'other' }))),
    ).toBe('wrong_host');
  });

  it('keeps a draining host draining', async () => {
    await runtime.query(
      `UPDATE scheduler.hosts SET state = 'draining', drain_at = now(), drain_by = 'user:ops', drain_reason = 'x'`,
    );
    host.restart();
    await runtime.register(host);
    await runtime.heartbeat(host);
    expect(await stateOf(host.name)).toBe('draining');
  });
});

describe('a heartbeat', () => {
  it('renews what should run, advances what has got on, and stops the rest', async () => {
    const bot = await runtime.bot();
    await runtime.pass();
    const placed = await runtime.allocation(bot.name);
    const stray = seen(placed, { id: unknownId() });
    const ack = await runtime.heartbeat(host, [seen(placed, { state: 'accepted' }), stray]);
    expect(ack).toEqual({
      termProof: expect.any(String),
      host: host.name,
      incarnation: host.incarnation,
      sequence: 1,
      term: 1,
      leaseTtlMs: 15_000,
      heartbeatIntervalMs: 3000,
      leases: [{ allocation: placed.id, epoch: 1 }],
      stop: [stray.id],
    });
    expect((await runtime.allocation(bot.name)).state).toBe('accepted');
  });

  it('is refused from who has not registered, or not this incarnation', async () => {
    const stranger = await SignedHost.create();
    expect(await codeOf(runtime.heartbeat(stranger))).toBe('host_not_registered');
    host.restart();
    expect(await codeOf(runtime.heartbeat(host))).toBe('host_not_registered');
    await runtime.register(host);
    expect(await codeOf(runtime.heartbeat(host))).toBe('none');
  });

  it('is refused when forged, and then neither renews nor advances nor counts as heard', async () => {
    const bot = await runtime.bot();
    await runtime.pass();
    const placed = await runtime.allocation(bot.name);
    const body = host.heartbeat([seen(placed)]);
    const forger = await SigningKey.generate();
    const proof = await host.proof(body);
    const forged = { ...proof, signature: await forger.sign(proof.bytes) };
    await clock.advance(over_ms);
    expect(await codeOf(heartbeats().answer(body, forged))).toBe('bad_signature');
    expect(await codeOf(heartbeats().answer(body, { ...proof, subjectHost: 'other' }))).toBe('wrong_host');
    expect((await runtime.allocation(bot.name)).state).toBe('placed');
    await runtime.pass();
    expect(await stateOf(host.name)).toBe('down');
  });

  it('is refused when it is older than one before', async () => {
    const old = host.heartbeat();
    await runtime.heartbeat(host);
    expect(await codeOf(host.proof(old).then((proof) => heartbeats().answer(old, proof)))).toBe(
      'invalid_request',
    );
  });

  it('is not answered by a scheduler that has been succeeded, though it has not noticed yet', async () => {
    await runtime.query(`UPDATE scheduler.leadership SET term = term + 1, holder = 'other'`);
    expect(await codeOf(runtime.heartbeat(host))).toBe('unavailable');
  });

  it('keeps what was observed, in memory', async () => {
    const bot = await runtime.bot();
    const allocation = await running(bot);
    const observation = {
      stage: 'ipc' as const,
      equity: 1000,
      balance: 990,
      currency: 'EUR',
      positions: 1,
      ordersToday: 2,
      controlSequence: 0,
      observedAt: new Date(clock.wallMs()).toISOString(),
    };
    await runtime.heartbeat(host, [seen(allocation, { observation })]);
    const store = runtime.app.get(ObservationStore);
    expect(store.get(allocation.id)).toEqual(observation);
    expect(store.lastHeartbeatAt(host.name)?.getTime()).toBe(clock.wallMs());
    await runtime.heartbeat(host, []);
    expect(store.get(allocation.id)).toBeNull();
  });

  it('changes the capacity that placement reckons with', async () => {
    await runtime.heartbeat(host);
    const body = host.heartbeat([], { capacity: { cpuMillis: 50, memoryMiB: 50, bots: 1 } });
    await heartbeats().answer(body, await host.proof(body));
    const bot = await runtime.bot();
    await runtime.pass();
    expect(await runtime.allocations(bot.name)).toEqual([]);
  });
});

describe('an allocation that its host does not name', () => {
  const silentBeats = async (times: number, each_ms: number): Promise<void> => {
    for (let i = 0; i < times; i += 1) {
      await clock.advance(each_ms);
      await runtime.heartbeat(host);
    }
  };

  it('has failed once that went on for longer than its lease, and is placed again', async () => {
    const bot = await runtime.bot();
    const allocation = await running(bot);
    await silentBeats(5, 3000);
    expect((await runtime.allocation(bot.name)).state).toBe('running');
    await silentBeats(1, 3000);
    expect(await runtime.allocation(bot.name)).toMatchObject({ state: 'failed', reason: 'unknown-to-host' });
    expect(await runtime.eventsOf(allocation.id)).toEqual([
      'tradefleet.allocation.placed',
      'tradefleet.allocation.failed',
    ]);
    await clock.advance(6000);
    await runtime.pass();
    expect(await runtime.allocation(bot.name)).toMatchObject({ epoch: 2, state: 'placed' });
  });

  it('is only on its way while it is placed', async () => {
    const bot = await runtime.bot();
    await runtime.pass();
    await silentBeats(20, 3000);
    expect((await runtime.allocation(bot.name)).state).toBe('placed');
  });

  it('has stopped when it was to stop', async () => {
    const bot = await runtime.bot();
    const allocation = await running(bot);
    await runtime.change(bot.name, 'stopped');
    await runtime.pass();
    await silentBeats(6, 3000);
    expect(await runtime.allocation(bot.name)).toMatchObject({ state: 'stopped', reason: 'asked' });
    expect(await runtime.eventsOf(allocation.id)).toContain('tradefleet.allocation.stopped');
  });
});

describe('a host that is not heard', () => {
  it('is down after the rule, never before, and only then its bots are placed elsewhere', async () => {
    const bot = await runtime.bot();
    const allocation = await running(bot);
    const other = await SignedHost.create();
    await runtime.register(other);
    await clock.advance(over_ms - 1);
    await runtime.heartbeat(other);
    await runtime.pass();
    expect(await stateOf(host.name)).toBe('ready');
    expect(await runtime.allocations(bot.name)).toHaveLength(1);

    await clock.advance(1);
    await runtime.pass();
    expect(await stateOf(host.name)).toBe('down');
    const [lost, moved] = await runtime.allocations(bot.name);
    expect(lost).toMatchObject({ id: allocation.id, state: 'lost', reason: 'host-lost' });
    expect(moved).toMatchObject({ host: other.name, epoch: 2, state: 'placed' });
    expect(await runtime.eventsOf(allocation.id)).toContain('tradefleet.allocation.lost');
    expect(await runtime.eventsOf(host.name)).toContain('tradefleet.host.down');
  });

  it('takes one that is stopping with it', async () => {
    const bot = await runtime.bot();
    await running(bot);
    await runtime.change(bot.name, 'stopped');
    await runtime.pass();
    await clock.advance(over_ms);
    await runtime.pass();
    expect(await runtime.allocation(bot.name)).toMatchObject({ state: 'lost', reason: 'host-lost' });
    await runtime.pass();
    expect(await runtime.allocations(bot.name)).toHaveLength(1);
  });

  it('leaves a bot that is to wait for it in the queue until it is back', async () => {
    const bot = await runtime.bot({
      policies: { ...Policies.parse({}), onHostLost: 'wait', stageTimeoutMs: 1000, stopGraceMs: 0 },
    });
    const allocation = await running(bot);
    const other = await SignedHost.create();
    await runtime.register(other);
    await clock.advance(over_ms);
    await runtime.heartbeat(other);
    await runtime.pass();
    expect(await runtime.allocations(bot.name)).toHaveLength(1);
    const [row] = await runtime.query<{ queued_reason: string }>('SELECT queued_reason FROM scheduler.bots');
    expect(row?.queued_reason).toBe(
      `Host ${host.name} is down, and the bot waits for it (onHostLost: wait).`,
    );

    // Back, but with the old one still alive: not yet.
    expect((await runtime.heartbeat(host, [seen(allocation)])).stop).toEqual([allocation.id]);
    await runtime.pass();
    expect(await stateOf(host.name)).toBe('down');
    expect(await runtime.allocations(bot.name)).toHaveLength(1);

    await runtime.heartbeat(host, [seen(allocation, { state: 'stopped' })]);
    expect(await stateOf(host.name)).toBe('ready');
    expect(await runtime.eventsOf(host.name)).toContain('tradefleet.host.ready');
    await runtime.pass();
    expect(await runtime.allocation(bot.name)).toMatchObject({ epoch: 2, state: 'placed' });
  });

  it('gets no lease for what it lost, ever again', async () => {
    const bot = await runtime.bot();
    const allocation = await running(bot);
    await clock.advance(over_ms);
    await runtime.pass();
    for (let i = 0; i < 3; i += 1) {
      const ack = await runtime.heartbeat(host, [seen(allocation)]);
      expect(ack.leases).toEqual([]);
      expect(ack.stop).toEqual([allocation.id]);
    }
  });

  it('is not declared down by a new leader before a whole lease of its own', async () => {
    const bot = await runtime.bot();
    await running(bot);
    await clock.advance(1_000_000);
    await runtime.leadership.resign();
    let leads = false;
    const leading = runtime.leadership.lead(new AbortController().signal).then(() => (leads = true));
    await waitFor(async () => {
      // The lock may not be free at the first look; the next one is a second later.
      if (!leads) await clock.advance(100);
      return leads;
    });
    await leading;
    const { sinceMonotonicMs } = runtime.leadership.current() ?? { sinceMonotonicMs: 0 };
    await clock.advance(sinceMonotonicMs + over_ms - 1 - clock.monotonicMs());
    await runtime.pass();
    expect(await stateOf(host.name)).toBe('ready');
    await clock.advance(1);
    await runtime.pass();
    expect(await stateOf(host.name)).toBe('down');
  });
});

describe('a bot with a longer lease of its own', () => {
  const long_ms = 60_000;
  /** 60 s, a thousandth more, and a second. */
  const longOver_ms = 61_060;
  const policies = Policies.parse({ leaseTtlMs: long_ms });
  const newest = async (bot: { name: string }) => (await runtime.allocations(bot.name)).at(-1);

  it('gets it in every answer, others get that of the fleet', async () => {
    const [patient, other] = [await runtime.bot({ policies }), await runtime.bot()];
    await runtime.pass();
    const [long, short] = [await runtime.allocation(patient.name), await runtime.allocation(other.name)];
    const { leases, leaseTtlMs } = await runtime.heartbeat(host, [seen(long), seen(short)]);
    expect(leaseTtlMs).toBe(15_000);
    expect(leases).toHaveLength(2);
    expect(leases).toContainEqual({ allocation: long.id, epoch: 1, ttlMs: long_ms });
    expect(leases).toContainEqual({ allocation: short.id, epoch: 1 });
  });

  it('that is shorter than the fleet has it gets that of the fleet', async () => {
    const bot = await runtime.bot({ policies: Policies.parse({ leaseTtlMs: 10_000 }) });
    await runtime.pass();
    const { id } = await runtime.allocation(bot.name);
    const { leases } = await runtime.heartbeat(host, [seen(await runtime.allocation(bot.name))]);
    expect(leases).toEqual([{ allocation: id, epoch: 1 }]);
  });

  it('keeps its account until that is over, while those of others go with the host', async () => {
    const [patient, other] = [await runtime.bot({ policies }), await runtime.bot()];
    await runtime.pass();
    const allocations = [await runtime.allocation(patient.name), await runtime.allocation(other.name)];
    await runtime.heartbeat(
      host,
      allocations.map((row) => seen(row)),
    );
    await clock.advance(over_ms);
    await runtime.pass();
    expect(await stateOf(host.name)).toBe('down');
    expect((await newest(other))?.state).toBe('lost');
    expect((await newest(patient))?.state).toBe('running');
    await clock.advance(longOver_ms - over_ms - 1);
    await runtime.pass();
    expect((await newest(patient))?.state).toBe('running');
    await clock.advance(1);
    await runtime.pass();
    expect((await newest(patient))?.state).toBe('lost');
  });

  it('runs on when its host comes back within it', async () => {
    const patient = await runtime.bot({ policies });
    const allocation = await running(patient);
    await clock.advance(over_ms);
    await runtime.pass();
    expect(await stateOf(host.name)).toBe('down');
    const { leases } = await runtime.heartbeat(host, [seen(allocation)]);
    expect(leases).toEqual([{ allocation: allocation.id, epoch: 1, ttlMs: long_ms }]);
    expect(await stateOf(host.name)).toBe('ready');
    await clock.advance(longOver_ms - 1);
    await runtime.pass();
    expect((await newest(patient))?.state).toBe('running');
  });

  it('is waited for by a new leader as long', async () => {
    const patient = await runtime.bot({ policies });
    await running(patient);
    await clock.advance(longOver_ms * 2);
    await runtime.leadership.resign();
    await runtime.leadership.lead(new AbortController().signal);
    await clock.advance(longOver_ms - 1);
    await runtime.pass();
    expect((await newest(patient))?.state).toBe('running');
    await clock.advance(1);
    await runtime.pass();
    expect((await newest(patient))?.state).toBe('lost');
  });

  it('is not gone before that when its host leaves it out', async () => {
    const patient = await runtime.bot({ policies });
    await running(patient);
    for (let n = 0; n < 20; n += 1) {
      await clock.advance(3000);
      await runtime.heartbeat(host);
    }
    expect((await newest(patient))?.state).toBe('running');
    await clock.advance(longOver_ms - 60_000);
    await runtime.heartbeat(host);
    expect((await newest(patient))?.state).toBe('failed');
  });
});

describe('a bot that waits for its host', () => {
  it('is not placed elsewhere, and runs again on its host when that is back', async () => {
    const bot = await runtime.bot({ policies: Policies.parse({ onHostLost: 'wait' }) });
    const allocation = await running(bot);
    const other = await SignedHost.create();
    await runtime.register(other);
    for (let n = 0; n < 10; n += 1) {
      await clock.advance(3000);
      await runtime.heartbeat(other);
      await runtime.pass();
    }
    expect(await stateOf(host.name)).toBe('down');
    expect(await runtime.allocations(bot.name)).toEqual([expect.objectContaining({ state: 'lost' })]);
    // What it still has of before must be gone first.
    expect((await runtime.heartbeat(host, [seen(allocation)])).stop).toEqual([allocation.id]);
    await runtime.pass();
    expect(await runtime.allocations(bot.name)).toHaveLength(1);
    await runtime.heartbeat(host);
    await clock.advance(60_000);
    await runtime.heartbeat(host);
    await runtime.heartbeat(other);
    await runtime.pass();
    expect((await runtime.allocations(bot.name)).at(-1)).toMatchObject({
      ...{ host: host.name, epoch: 2, state: 'placed' },
    });
  });
});

describe('the check for the secrets service', () => {
  it('is true for a live allocation under its exact identity, and for nothing else', async () => {
    const bot = await runtime.bot();
    const { id, account, epoch } = await running(bot);
    const check = { allocation: id, account, host: host.name, epoch };
    const allocations = runtime.app.get(AllocationRepository);
    expect(await allocations.isLive(check)).toBe(true);
    expect(await allocations.isLive({ ...check, epoch: 2 })).toBe(false);
    expect(await allocations.isLive({ ...check, host: 'other' })).toBe(false);
    expect(await allocations.isLive({ ...check, account: 'other' })).toBe(false);
    expect(await allocations.isLive({ ...check, allocation: newId() })).toBe(false);
    await runtime.change(bot.name, 'stopped');
    await runtime.pass();
    expect(await allocations.isLive(check)).toBe(false);
  });
});
