import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { ProblemError, type HeartbeatAck } from '#libs/contracts';
import { SigningKey } from '#libs/messaging';
import { startNats, startPostgres, VirtualClock, type TestNats, type TestPostgres } from '#libs/testing';
import { HeartbeatService } from '../heartbeats/heartbeat.service.js';
import { SignedHost } from '../heartbeats/signed-host.harness.js';
import { migratedDatabase, RuntimeHarness } from '../runtime.harness.js';
import { signTermProof } from './term.proof.js';

/** 15 s, a thousandth more, and a second. */
const over_ms = 16_015;
const never = new AbortController().signal;
let nats: TestNats;
let postgres: TestPostgres;
let clock: VirtualClock;
let runtime: RuntimeHarness;
let host: SignedHost;
let lost: string[];

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
  lost = [];
  runtime.leadership.onLost((reason) => lost.push(reason));
  host = await SignedHost.create();
  await runtime.register(host);
});
afterEach(async () => {
  await runtime.stop();
});

const beat = async (seen: { termSeen?: number; termProof?: string } = {}): Promise<HeartbeatAck> => {
  const body = host.heartbeat([], seen);
  return await runtime.app.get(HeartbeatService).answer(body, await host.proof(body));
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
const row = async () =>
  (
    await runtime.query<{ term: number; holder: string; restored: boolean }>(
      'SELECT term, holder, restored FROM scheduler.leadership',
    )
  )[0];
const proofOf = async (term: number, key: SigningKey = runtime.signingKey) =>
  await signTermProof({ term }, new Date(clock.wallMs()), key);
const newest = async (bot: string) => (await runtime.allocations(bot)).at(-1);

describe('a host that has seen a term', () => {
  it('gets it with its proof, and may show both to the next leader', async () => {
    const { term, termProof } = await beat();
    expect(term).toBe(1);
    await runtime.leadership.resign();
    await runtime.leadership.lead(new AbortController().signal);
    const next = await beat({ termSeen: term, ...(termProof === undefined ? {} : { termProof }) });
    expect(next.term).toBe(2);
    expect(lost).toEqual([]);
  });

  it.each<[string, () => Promise<{ termSeen: number; termProof?: string }>]>([
    ['no proof', async () => ({ termSeen: 40 })],
    ['proof of another term', async () => ({ termSeen: 40, termProof: await proofOf(39) })],
    [
      'proof by another key',
      async () => ({ termSeen: 40, termProof: await proofOf(40, await SigningKey.generate()) }),
    ],
    ['nonsense', async () => ({ termSeen: 40, termProof: 'a.b.c' })],
  ])('above ours but %s is refused and changes nothing', async (_what, shown) => {
    expect(await codeOf(beat(await shown()))).toBe('bad_signature');
    expect(await row()).toMatchObject({ term: 1, restored: false });
    expect(lost).toEqual([]);
    expect((await beat()).term).toBe(1);
  });
});

describe('a database that was restored from a backup', () => {
  beforeEach(async () => {
    expect(await codeOf(beat({ termSeen: 40, termProof: await proofOf(40) }))).toBe('unavailable');
  });

  it('ends the lead, for a term above the one that was seen', async () => {
    expect(lost).toEqual(['the database was restored from a backup']);
    expect(runtime.leadership.current()).toBeNull();
    expect(await row()).toEqual({ term: 40, holder: 'nobody', restored: true });
    expect((await runtime.leadership.lead(new AbortController().signal)).term).toBe(41);
    expect((await beat({ termSeen: 40, termProof: await proofOf(40) })).term).toBe(41);
  });

  it('has nothing placed before every lease given until then is over, and no epoch used again', async () => {
    const bot = await runtime.bot();
    await runtime.query('INSERT INTO scheduler.fences (account, epoch) VALUES ($1, 3)', [bot.account]);
    await runtime.leadership.lead(new AbortController().signal);
    await runtime.pass();
    await clock.advance(over_ms - 1);
    await beat();
    await runtime.pass();
    expect(await newest(bot.name)).toBeUndefined();
    // The wait is of every leader until one has waited it out.
    await runtime.leadership.resign();
    await runtime.leadership.lead(new AbortController().signal);
    await clock.advance(over_ms - 1);
    await beat();
    await runtime.pass();
    expect(await newest(bot.name)).toBeUndefined();
    await clock.advance(1);
    await runtime.pass();
    expect(await newest(bot.name)).toMatchObject({ epoch: 4, state: 'placed' });
    expect(await row()).toMatchObject({ restored: false });
  });

  it('has no start sent again either before then, of what was placed before the backup', async () => {
    await runtime.leadership.lead(new AbortController().signal);
    await runtime.query('UPDATE scheduler.leadership SET restored = false');
    const before = await runtime.leadership.resign().then(async () => runtime.leadership.lead(never));
    expect(before.afterRestore).toBe(false);
    await beat();
    const bot = await runtime.bot();
    await runtime.pass();
    const allocation = await runtime.allocation(bot.name);
    await runtime.query('UPDATE scheduler.leadership SET restored = true');
    await runtime.leadership.resign();
    await runtime.leadership.lead(never);
    for (let second = 0; second < 15; second += 1) {
      await clock.advance(1000);
      await beat();
      await runtime.pass();
    }
    expect(await runtime.commandsOf(allocation.id)).toEqual(['start']);
    await clock.advance(60_000);
    await beat();
    await runtime.pass();
    expect(await runtime.commandsOf(allocation.id)).toEqual(['start', 'start']);
  });

  it('waits for the longest lease that a bot may have', async () => {
    const bot = await runtime.bot({ policies: { leaseTtlMs: 100_000 } as never });
    await runtime.leadership.lead(new AbortController().signal);
    await clock.advance(101_000);
    await beat();
    await runtime.pass();
    expect(await newest(bot.name)).toBeUndefined();
    await clock.advance(101);
    await runtime.pass();
    expect(await newest(bot.name)).toMatchObject({ state: 'placed' });
  });

  it('raises the epochs of all accounts', async () => {
    const bot = await runtime.bot();
    await runtime.query('INSERT INTO scheduler.fences (account, epoch) VALUES ($1, 3)', [bot.account]);
    await runtime.leadership.lead(new AbortController().signal);
    expect(await codeOf(beat({ termSeen: 90, termProof: await proofOf(90) }))).toBe('unavailable');
    expect(await runtime.query('SELECT epoch FROM scheduler.fences')).toEqual([{ epoch: 100_003 }]);
  });
});
