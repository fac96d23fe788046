import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { ProblemError, type HeartbeatAck, type ObservedAllocation } from '#libs/contracts';
import { startNats, startPostgres, VirtualClock, type TestNats, type TestPostgres } from '#libs/testing';
import { HeartbeatService } from '../heartbeats/heartbeat.service.js';
import { SignedHost } from '../heartbeats/signed-host.harness.js';
import { migratedDatabase, RuntimeHarness, seen } from '../runtime.harness.js';
import { epochs_skipped, isOfLineage, type TermLineage } from './term.lineage.js';

/** 15 s, a thousandth more, and a second. */
const over_ms = 16_015;
const never = new AbortController().signal;
let nats: TestNats;
let postgres: TestPostgres;
let clock: VirtualClock;
let databaseUrl: string;
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
  databaseUrl = await migratedDatabase(postgres);
  runtime = await RuntimeHarness.start({ databaseUrl, nats, clock });
});
afterEach(async () => {
  await runtime.stop();
});

/** A host with what it keeps of answers, as an agent does. */
class Host {
  private last: HeartbeatAck | null = null;
  constructor(readonly signed: SignedHost) {}

  async beat(observed: ObservedAllocation[] = []): Promise<HeartbeatAck> {
    const { term, termProof } = this.last ?? {};
    const shown = term === undefined || termProof === undefined ? {} : { termSeen: term, termProof };
    const body = this.signed.heartbeat(observed, shown);
    this.last = await runtime.app.get(HeartbeatService).answer(body, await this.signed.proof(body));
    return this.last;
  }
}
const aHost = async (): Promise<Host> => {
  const signed = await SignedHost.create();
  await runtime.register(signed);
  const host = new Host(signed);
  await host.beat();
  return host;
};
const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
    return 'none';
  } catch (error) {
    if (error instanceof ProblemError) return error.code;
    throw error;
  }
};
const tables = ['fences', 'terms', 'leadership', 'allocations'];
const backUp = async (): Promise<void> => {
  for (const table of tables)
    await runtime.query(`CREATE TABLE scheduler.backup_of_${table} AS SELECT * FROM scheduler.${table}`);
};
const restore = async (): Promise<void> => {
  for (const table of tables) {
    await runtime.query(`DELETE FROM scheduler.${table}`);
    await runtime.query(`INSERT INTO scheduler.${table} SELECT * FROM scheduler.backup_of_${table}`);
  }
};
const leadAnew = async () => {
  await runtime.leadership.resign();
  return await runtime.leadership.lead(never);
};

describe('a database that was restored to before a bot was placed, in the same term', () => {
  let hosts: Host[];
  let holder: Host;
  let other: Host;
  let bot: { name: string; account: string };
  let running: ObservedAllocation;
  let granted_ms: number;

  beforeEach(async () => {
    hosts = [await aHost(), await aHost()];
    bot = await runtime.bot();
    await backUp();
    await runtime.pass();
    const allocation = await runtime.allocation(bot.name);
    expect(allocation.epoch).toBe(1);
    const chosen = hosts.find(({ signed }) => signed.name === allocation.host);
    const unchosen = hosts.find(({ signed }) => signed.name !== allocation.host);
    if (chosen === undefined || unchosen === undefined) throw new Error('The bot is on neither host.');
    [holder, other] = [chosen, unchosen];
    running = seen(allocation);
    granted_ms = clock.monotonicMs();
    expect((await holder.beat([running])).leases).toHaveLength(1);
    await restore();
    await leadAnew();
  });

  it('has nothing placed while the host that has the bot is not heard and its lease may live', async () => {
    for (let second = 0; second < 16; second += 1) {
      await other.beat();
      await runtime.pass();
      expect(await runtime.allocations(bot.name)).toEqual([]);
      await clock.advance(1000);
    }
    await clock.advance(granted_ms + over_ms - clock.monotonicMs());
    await other.beat();
    await runtime.pass();
    expect(await runtime.allocations(bot.name)).toHaveLength(1);
  });

  it('is found out by that host, has its lead given up, and uses no epoch again', async () => {
    await other.beat();
    expect(await codeOf(holder.beat([running]))).toBe('unavailable');
    expect(runtime.leadership.current()).toBeNull();
    expect(await runtime.eventsOf(holder.signed.name)).toContain('tradefleet.leader.restore-noticed');
    expect(await runtime.leadership.lead(never)).toMatchObject({ afterRestore: true });
    expect((await holder.beat([running])).stop).toEqual([running.id]);
    await other.beat();
    await runtime.pass();
    expect(await runtime.allocations(bot.name)).toEqual([]);
    await clock.advance(over_ms);
    await other.beat();
    await runtime.pass();
    expect(await runtime.allocation(bot.name)).toMatchObject({ epoch: epochs_skipped + 1 });
  });

  it('is found out also by a host that comes back when it has gone on', async () => {
    await clock.advance(over_ms);
    await other.beat();
    await runtime.pass();
    await leadAnew();
    expect(await codeOf(holder.beat())).toBe('unavailable');
    await runtime.leadership.lead(never);
    expect(await codeOf(holder.beat())).toBe('none');
  });
});

describe('after a restore', () => {
  it('begins nothing that was placed before the backup, until every lease is over', async () => {
    const host = await aHost();
    const bot = await runtime.bot();
    await runtime.pass();
    const placed = await runtime.allocation(bot.name);
    await runtime.query('UPDATE scheduler.leadership SET restored = true');
    await leadAnew();
    expect((await host.beat([seen(placed, { state: 'accepted' })])).leases).toEqual([]);
    expect((await host.beat([seen(placed)])).leases).toHaveLength(1);
    await clock.advance(over_ms - 1000);
    await host.beat([seen(placed)]);
    await clock.advance(1000);
    await runtime.pass();
    expect((await host.beat([seen(placed, { state: 'accepted' })])).leases).toHaveLength(1);
  });
});

describe('a leader that gives shorter leases than the one before', () => {
  it('waits for the longest that may be outstanding, and so does every later one until then', async () => {
    const { signed } = await aHost();
    await runtime.stop();
    const start = async (leaseTtlMs: number) =>
      (runtime = await RuntimeHarness.start({ databaseUrl, nats, clock, config: { leaseTtlMs } }));
    await start(60_000);
    const bot = await runtime.bot();
    await new Host(signed).beat();
    await runtime.pass();
    const allocation = await runtime.allocation(bot.name);
    await new Host(signed).beat([seen(allocation)]);
    const lost = async () => (await runtime.allocation(bot.name)).state === 'lost';
    for (const wait_ms of [30_000, 61_059]) {
      await runtime.stop();
      await start(15_000);
      await clock.advance(wait_ms);
      await runtime.pass();
      expect(await lost()).toBe(false);
    }
    await clock.advance(1);
    await runtime.pass();
    await runtime.pass();
    expect(await lost()).toBe(true);
    expect(await runtime.query('SELECT lease_ttl_ms FROM scheduler.leadership')).toEqual([
      { lease_ttl_ms: 15_000 },
    ]);
  });
});

describe('the lineage of terms', () => {
  const lineage = (over: Partial<TermLineage> = {}): TermLineage => ({
    mark: { term: 9, holder: 'us', placements: 3 },
    forgottenTerm: 4,
    shown: { holder: 'a', placements: 5 },
    ...over,
  });
  it.each<[string, boolean, Parameters<typeof isOfLineage>]>([
    ['a term above ours', false, [{ term: 10, holder: 'a', placements: 0 }, lineage()]],
    ['as many placements', true, [{ term: 7, holder: 'a', placements: 5 }, lineage()]],
    ['more placements', false, [{ term: 7, holder: 'a', placements: 6 }, lineage()]],
    ['another holder', false, [{ term: 7, holder: 'b', placements: 1 }, lineage()]],
    ['a term without a row', false, [{ term: 7, holder: 'a', placements: 1 }, lineage({ shown: null })]],
    ['a term that is accounted for', true, [{ term: 4, holder: 'b', placements: 9 }, lineage()]],
    ['no more than the term', true, [{ term: 9 }, lineage()]],
  ])('knows %s: %s', (_what, known, [shown, of]) => {
    expect(isOfLineage(shown, of)).toBe(known);
  });
});
