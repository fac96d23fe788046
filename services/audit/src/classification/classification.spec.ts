import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { newId, type ApiResponse, type QuarantineCode } from '#libs/contracts';
import { SigningKey, type OutgoingMessage } from '#libs/messaging';
import { anAllocationEvent, startPostgres, waitFor, type TestPostgres } from '#libs/testing';
import { AuditFixture } from '../testing/audit.fixture.js';
import { registrationOf, SpecProducer } from '../testing/producers.js';

const patience = { timeoutMs: 30_000 };
const minute_ms = 60_000;

describe('classification', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;
  let scheduler: SpecProducer;

  beforeAll(async () => (postgres = await startPostgres()));
  afterAll(async () => await postgres.stop());
  beforeEach(async () => {
    fixture = await AuditFixture.create(await postgres.createDatabase());
    scheduler = new SpecProducer('/scheduler', fixture.schedulerKey);
  });
  afterEach(async () => await fixture.stop());

  const send = async (...messages: OutgoingMessage[]) => {
    const outcomes = await fixture.messaging.publishDurableAll(
      messages.map((message) => ({ ...message, messageId: newId() })),
    );
    expect(outcomes.every(({ ok }) => ok)).toBe(true);
  };
  const untilSettled = async () =>
    await waitFor(async () => (await fixture.unsettled()) === 0, {
      ...patience,
      what: 'the stream to be settled',
    });
  const aside = async () =>
    await fixture.query<{ code: QuarantineCode; source: string | null }>(
      'SELECT code, source FROM audit.quarantine ORDER BY stream_seq',
    );
  const received = async ({ source, incarnation }: SpecProducer) =>
    (
      await fixture.query<{ received: string }>(
        'SELECT received::text FROM audit_work.producers WHERE source = $1 AND incarnation = $2',
        [source, incarnation],
      )
    )[0]?.received ?? null;
  const toldOf = async () =>
    await fixture.query<{ code: string }>(
      "SELECT data ->> 'code' AS code FROM audit.events WHERE type = 'tradefleet.audit.quarantined' ORDER BY time, id",
    );
  const withHeader = (
    { headers, ...message }: OutgoingMessage,
    name: string,
    value: string,
  ): OutgoingMessage => ({
    ...message,
    headers: { ...headers, [name]: value },
  });
  const idOf = (message: OutgoingMessage): string => message.headers['ce-id'] ?? '';
  const inMs = (ms: number): string => new Date(Date.now() + ms).toISOString();

  it('puts aside each kind of bad input under its code, tells of it, and records the good ones around it', async () => {
    const [agent, other] = [await SpecProducer.agent(), await SpecProducer.agent()];
    const gateway = new SpecProducer('/gateway', await SigningKey.generate());
    const stranger = new SpecProducer('/scheduler', await SigningKey.generate());
    const instance = new SpecProducer('/scheduler/one', fixture.schedulerKey);
    await send(await registrationOf(scheduler, agent), await registrationOf(scheduler, other));
    const resigned = async (message: OutgoingMessage) => await fixture.resigned(message);
    const original = await scheduler.next();
    const data = anAllocationEvent({ host: agent.host });
    const unsigned = await scheduler.next({ sequence: 900 });
    const bad: [QuarantineCode, OutgoingMessage][] = [
      ['bad_attributes', withHeader(await scheduler.next({ sequence: 901 }), 'ce-sequence', '0x7')],
      [
        'bad_attributes',
        await resigned(withHeader(await scheduler.next(), 'ce-time', '2026-01-01T00:00:00Z')),
      ],
      [
        'unknown_type',
        await resigned(withHeader(await scheduler.next(), 'ce-type', 'tradefleet.moon.landed')),
      ],
      ['wrong_subject', { ...(await scheduler.next()), subject: 'fleet.v1.evt.allocation.elsewhere.placed' }],
      ['bad_data', await resigned({ ...(await scheduler.next()), body: '{"allocation":"x"}' })],
      ['bad_data', await resigned({ ...(await scheduler.next()), body: 'no JSON' })],
      // An agent makes an event of the scheduler, and one of another host.
      ['wrong_producer', await agent.event('tradefleet.allocation.placed', data.allocation, data)],
      ['wrong_producer', await agent.next({}, other.host)],
      ['wrong_producer', await instance.next()],
      // A host in another host's name.
      [
        'bad_signature',
        await new SpecProducer(other.source, agent.key, other.incarnation).next({ sequence: 7 }),
      ],
      ['id_time_mismatch', await scheduler.next({ id: newId(Date.now() - minute_ms) })],
      ['id_time_mismatch', await scheduler.next({ id: '5a1b0f5e-8c39-4d1b-9a53-0c8f9a4d7e10' })],
      ['clock_off', await scheduler.next({ time: inMs(11 * minute_ms) })],
      ['clock_off', await scheduler.next({ time: inMs(-401 * 24 * 60 * minute_ms) })],
      ['bad_signature', await stranger.next({ incarnation: scheduler.incarnation, sequence: 902 })],
      [
        'bad_signature',
        { ...(await scheduler.next({ sequence: 903 })), body: JSON.stringify(anAllocationEvent()) },
      ],
      ['bad_signature', withHeader(unsigned, 'tradefleet-signature', '')],
      [
        'unknown_producer',
        await gateway.event('tradefleet.session.refused', 'gateway', { method: 'GET', path: '/', ip: '::1' }),
      ],
      ['sequence_far_off', await scheduler.next({ sequence: 3_000_000 })],
      ['id_conflict', await scheduler.next({ id: idOf(original), time: original.headers['ce-time'] ?? '' })],
    ];
    const good = [original];
    await fixture.start();
    await send(original);
    await waitFor(async () => (await fixture.recordedIds()).includes(idOf(original)), patience);
    for (const [, message] of bad) {
      const neighbour = await scheduler.next();
      good.push(neighbour);
      await send(message, neighbour);
    }
    await untilSettled();
    const codes = bad.map(([code]) => code);
    expect((await aside()).map(({ code }) => code)).toEqual(codes);
    expect(await fixture.recordedIds()).toEqual(expect.arrayContaining(good.map(idOf)));
    expect(await fixture.recordedIds()).toHaveLength(good.length + 2);
    // What was signed is settled, though it is no event; what was not settles nothing.
    expect(await received(scheduler)).toBe(`{[1,${scheduler.sequence + 1})}`);
    expect(await received(agent)).toBe('{[1,3)}');
    expect(await received(other)).toBeNull();
    expect(await received(gateway)).toBeNull();
    await waitFor(async () => (await toldOf()).length === bad.length, {
      ...patience,
      what: 'all to be told of',
    });
    expect((await toldOf()).map(({ code }) => code).sort()).toEqual(codes.toSorted());
    await waitFor(async () => (await fixture.query('SELECT FROM audit_work.outbox')).length === 0, {
      ...patience,
      what: 'the own events to be confirmed',
    });
  });

  it('is asked for what was put aside, page by page', async () => {
    await fixture.start();
    const messages = await scheduler.many(5);
    await send(...messages.map((message) => ({ ...message, body: '{}' })));
    await send(withHeader(await scheduler.next(), 'ce-actor', ''));
    await untilSettled();
    const page = async (query: object): Promise<ApiResponse<'quarantine.list'>> =>
      await fixture.messaging.request('fleet.v1.api.quarantine.list', query);
    const first = await page({ limit: 2, code: 'bad_data' });
    const second = await page({ limit: 2, code: 'bad_data', after: first.next });
    const third = await page({ limit: 2, code: 'bad_data', after: second.next });
    const digests = [first, second, third].flatMap((it) => it.messages.map(({ digest }) => digest));
    expect(new Set(digests).size).toBe(5);
    expect(third.next).toBeNull();
    expect((await page({ source: '/scheduler' })).messages).toHaveLength(6);
    expect((await page({ code: 'bad_attributes' })).messages).toEqual([
      expect.objectContaining({ code: 'bad_attributes', source: '/scheduler' }),
    ]);
    await expect(page({ after: 'nonsense' })).rejects.toMatchObject({ code: 'invalid_request' });
  });

  it('has the stream refuse what is too large, and records on', async () => {
    await fixture.start();
    const message = await scheduler.next();
    const large = { ...message, messageId: newId(), body: 'x'.repeat(1024 * 1024 - 4096) };
    await expect(fixture.messaging.publishDurable(large)).rejects.toMatchObject({
      code: 'payload_too_large',
    });
    await send(message);
    await untilSettled();
    expect(await fixture.recordedIds()).toEqual([idOf(message)]);
  });

  it('records events of a host that come before its registration', async () => {
    const agent = await SpecProducer.agent();
    await fixture.start({ unknownHostWaitMs: 60_000 });
    const early = await agent.many(3);
    await send(...early);
    const unrelated = await scheduler.next();
    await send(unrelated);
    await waitFor(async () => (await fixture.recordedIds()).includes(idOf(unrelated)), patience);
    expect(await fixture.recordedIds()).toHaveLength(1);
    // In one batch with its registration as well.
    const [late] = await agent.many(1);
    await send(...(late === undefined ? [] : [late]), await registrationOf(scheduler, agent));
    await untilSettled();
    expect(await fixture.recordedIds()).toHaveLength(6);
    expect(await aside()).toEqual([]);
  });

  it('does not wait for ever for a host that nobody registers, and settles none of its numbers', async () => {
    const agent = await SpecProducer.agent();
    await fixture.start({ unknownHostWaitMs: 200 });
    await send(...(await agent.many(2)));
    await untilSettled();
    expect(await aside()).toEqual(
      Array.from({ length: 2 }, () => ({ code: 'unknown_producer', source: agent.source })),
    );
    // Sent again once it is known, they are recorded.
    await send(await registrationOf(scheduler, agent));
    const again = new SpecProducer(agent.source, agent.key, agent.incarnation);
    await send(...(await again.many(2)));
    await untilSettled();
    expect(await received(agent)).toBe('{[1,3)}');
  });

  it('lets a replaced key speak for what was known of, and for nothing new', async () => {
    const agent = await SpecProducer.agent();
    await fixture.start();
    const before = agent.restarted();
    await send(await registrationOf(scheduler, agent));
    // An incarnation that never registered, such as of an agent that could not reach the scheduler.
    await send(await before.next(), await agent.next());
    await untilSettled();
    const after = agent.restarted(await SigningKey.generate());
    await send(await registrationOf(scheduler, after));
    await untilSettled();
    await send(await agent.next(), await before.next(), await after.next());
    await untilSettled();
    const forged = [
      await new SpecProducer(agent.source, agent.key, after.incarnation).next({ sequence: 2 }),
      await agent.restarted().next(),
    ];
    await send(...forged);
    await untilSettled();
    expect((await aside()).map(({ code }) => code)).toEqual(['bad_signature', 'bad_signature']);
    expect(await received(agent)).toBe('{[1,3)}');
    expect(await received(before)).toBe('{[1,3)}');
    expect(await received(after)).toBe('{[1,2)}');
  });
});
