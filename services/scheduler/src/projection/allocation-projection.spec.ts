import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { newId, type AllocationEventData, type EventTypeName } from '#libs/contracts';
import { encodeEvent, SigningKey } from '#libs/messaging';
import { startNats, startPostgres, VirtualClock, type TestNats, type TestPostgres } from '#libs/testing';
import { asDelivery, SignedHost } from '../heartbeats/signed-host.harness.js';
import { migratedDatabase, RuntimeHarness, type AllocationRow } from '../runtime.harness.js';
import { AllocationProjectionService } from './allocation-projection.service.js';

type AllocationEvent = EventTypeName & `tradefleet.allocation.${string}`;

let nats: TestNats;
let postgres: TestPostgres;
let clock: VirtualClock;
let runtime: RuntimeHarness;
let host: SignedHost;
let allocation: AllocationRow & { tenant: string };
let rejections: string[];

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
  const bot = await runtime.bot();
  await runtime.pass();
  allocation = { ...(await runtime.allocation(bot.name)), tenant: bot.tenant };
  rejections = [];
});
afterEach(async () => {
  await runtime.stop();
});

const data = (over: Partial<AllocationEventData> = {}): AllocationEventData => ({
  allocation: allocation.id,
  tenant: allocation.tenant,
  bot: allocation.bot,
  account: allocation.account,
  host: host.name,
  epoch: allocation.epoch,
  state: 'running',
  stage: null,
  attempt: 1,
  reason: null,
  detail: null,
  exitCode: null,
  ...over,
});
const event = (state: AllocationEventData['state'], over: Partial<AllocationEventData> = {}) =>
  host.event(`tradefleet.allocation.${state}`, data({ state, ...over }));
const project = async (...messages: Parameters<typeof asDelivery>[0][]): Promise<void> =>
  runtime.app
    .get(AllocationProjectionService)
    .project(messages.map((message) => asDelivery(message, rejections)));
const now = () => runtime.allocation(allocation.bot);
const audited = async (): Promise<string[]> =>
  (await runtime.outbox()).flatMap(({ event: told, body }) =>
    told?.type === 'tradefleet.message.rejected' ? [(JSON.parse(body) as { code: string }).code] : [],
  );

describe('events of a host', () => {
  it('advance its allocation, a whole life in one batch', async () => {
    await project(
      await event('accepted'),
      await event('preparing'),
      await event('starting'),
      await host.event('tradefleet.allocation.stage-reached', data({ state: 'starting', stage: 'login' })),
      await event('running', { stage: 'trade-allowed' }),
    );
    expect(rejections).toEqual([]);
    expect(await now()).toMatchObject({ state: 'running', stage: 'trade-allowed' });
    const [row] = await runtime.query<{ running_at: Date | null }>(
      'SELECT running_at FROM scheduler.allocations',
    );
    expect(row?.running_at?.getTime()).toBe(clock.wallMs());
  });

  it('lead to the same in any order, any number of times', async () => {
    const running = await event('running');
    const accepted = await event('accepted');
    await project(running);
    await project(accepted, running);
    await project(accepted);
    expect((await now()).state).toBe('running');
  });

  it('end it, with the reason and the next try planned', async () => {
    await project(await event('failed', { reason: 'out-of-memory', detail: 'killed', exitCode: 137 }));
    expect(await now()).toMatchObject({ state: 'failed', reason: 'out-of-memory', exit_code: 137 });
    const [row] = await runtime.query<{ failures: number; retry_at: Date | null }>(
      'SELECT failures, retry_at FROM scheduler.bots',
    );
    expect(row?.failures).toBe(1);
    expect(row?.retry_at?.getTime()).toBeGreaterThan(clock.wallMs());
  });

  it('tell of an attempt in place: its stages begin anew, its state stays, its bot has not failed', async () => {
    await project(await event('running', { stage: 'trade-allowed' }));
    const restarting = await host.event('tradefleet.allocation.restarting', {
      ...data({ attempt: 2, reason: 'exited', detail: 'a defect', exitCode: 70 }),
      ...{ delayMs: 1000 },
    });
    await project(restarting);
    expect(rejections).toEqual([]);
    const [row] = await runtime.query(
      'SELECT state, stage, attempt, reason, last_exit FROM scheduler.allocations',
    );
    expect(row).toMatchObject({
      ...{ state: 'running', stage: null, attempt: 2, reason: null },
      last_exit: { attempt: 1, reason: 'exited', detail: 'a defect', exitCode: 70 },
    });
    // What comes late of the attempt before says nothing of this one.
    await project(await event('running', { attempt: 1, stage: 'trade-allowed' }));
    expect((await now()).stage).toBeNull();
    await project(await event('running', { attempt: 2, stage: 'trade-allowed' }), restarting);
    expect(await now()).toMatchObject({ state: 'running', stage: 'trade-allowed' });
    expect(await runtime.query('SELECT failures FROM scheduler.bots')).toEqual([{ failures: 0 }]);
  });

  it('are taken whatever a bot has said in them: no word of one keeps those of others from being written', async () => {
    const detail = 'It says: \0 \ud800 and \u{1f4a5}';
    const restarting = await host.event('tradefleet.allocation.restarting', {
      ...data({ attempt: 2, reason: 'exited', detail, exitCode: 70 }),
      ...{ delayMs: 1000 },
    });
    await project(restarting);
    expect(rejections).toEqual([]);
    const [row] = await runtime.query('SELECT attempt, last_exit FROM scheduler.allocations');
    expect(row).toMatchObject({ attempt: 2, last_exit: { detail: 'It says:   \ufffd and \u{1f4a5}' } });
    await project(await event('failed', { reason: 'exited', detail, exitCode: 2 ** 40 }));
    expect(await now()).toMatchObject({ state: 'failed', exit_code: null });
  });

  it('of one that has ended change nothing', async () => {
    await project(await event('failed', { reason: 'exited' }));
    await project(await event('running'), await event('stopped', { reason: 'asked' }));
    expect(await now()).toMatchObject({ state: 'failed', reason: 'exited' });
    expect(rejections).toEqual([]);
  });

  it('are not taken from the scheduler itself', async () => {
    const own = encodeEvent({
      type: 'tradefleet.allocation.lost',
      subjectId: allocation.id,
      data: data({ state: 'lost' }),
      actor: 'service:scheduler',
      time: new Date().toISOString(),
      id: newId(),
      source: '/scheduler',
      incarnation: newId(),
      sequence: 1,
    });
    await project(own);
    expect((await now()).state).toBe('placed');
    expect(rejections).toEqual([]);
  });
});

describe('what does not fit', () => {
  const refused = async (message: Parameters<typeof asDelivery>[0], code: string): Promise<void> => {
    await project(await event('accepted'), message);
    expect((await now()).state).toBe('accepted');
    expect(rejections).toHaveLength(1);
    expect(rejections[0]).toContain(code);
    expect(await audited()).toEqual([code]);
  };

  it('a signature by another key', async () => {
    const forger = await SigningKey.generate();
    await refused(
      await host.event('tradefleet.allocation.failed', data({ state: 'failed' }), forger),
      'bad_signature',
    );
  });

  it('no signature at all', async () => {
    const message = await event('failed');
    const headers = Object.entries(message.headers).filter(([name]) => name !== 'tradefleet-signature');
    await refused({ ...message, headers: Object.fromEntries(headers) }, 'bad_signature');
  });

  it('a body that was changed on the way', async () => {
    const message = await event('failed');
    await refused(
      { ...message, body: JSON.stringify(data({ state: 'failed', reason: 'exited' })) },
      'bad_signature',
    );
  });

  it('another host, though rightly signed by its own key', async () => {
    const other = await SignedHost.create();
    await runtime.register(other);
    await refused(
      await other.event('tradefleet.allocation.failed', data({ state: 'failed', host: other.name })),
      'wrong_host',
    );
  });

  it('a host that speaks for another', async () => {
    const other = await SignedHost.create();
    await runtime.register(other);
    await refused(await other.event('tradefleet.allocation.failed', data({ state: 'failed' })), 'wrong_host');
  });

  it('a host nobody knows', async () => {
    const other = await SignedHost.create();
    await refused(
      await other.event('tradefleet.allocation.failed', data({ state: 'failed', host: other.name })),
      'host_not_registered',
    );
  });

  it.each<[string, Partial<AllocationEventData>, string]>([
    ['another epoch', { epoch: 2 }, 'stale_epoch'],
    ['another account', { account: 'other' }, 'stale_epoch'],
    ['another bot', { bot: 'other' }, 'stale_epoch'],
    ['another tenant', { tenant: 'other' }, 'stale_epoch'],
  ])('%s', async (_what, over, code) => {
    await refused(await event('failed', over), code);
  });

  it('an allocation nobody made', async () => {
    const unknown = newId();
    await refused(
      await host.event('tradefleet.allocation.failed', data({ state: 'failed', allocation: unknown })),
      'stale_epoch',
    );
  });

  it.each<[AllocationEvent, AllocationEventData['state']]>([
    ['tradefleet.allocation.running', 'stopped'],
    ['tradefleet.allocation.lost', 'lost'],
    ['tradefleet.allocation.placed', 'placed'],
    ['tradefleet.allocation.stage-reached', 'failed'],
  ])('%s with the state %s', async (type, state) => {
    await refused(await host.event(type, data({ state })), 'invalid_request');
  });

  it('what is no event at all', async () => {
    const message = await event('accepted');
    await project({ ...message, body: '{"allocation":1}' });
    expect(rejections).toHaveLength(1);
    expect((await now()).state).toBe('placed');
  });
});
