import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import {
  newId,
  streams,
  subjects,
  type ApiResponse,
  type SequenceRange,
  type WatermarkAnswer,
} from '#libs/contracts';
import { provision, SigningKey, type OutgoingMessage } from '#libs/messaging';
import { startPostgres, waitFor, type TestPostgres } from '#libs/testing';
import { AuditFixture, impatientConsumer } from '../testing/audit.fixture.js';
import { registrationOf, SpecProducer } from '../testing/producers.js';

const patience = { timeoutMs: 30_000 };
const soon = { refillAfterMs: 300 };

describe('the watermark', () => {
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

  const send = async (...messages: (OutgoingMessage | undefined)[]) => {
    const outcomes = await fixture.messaging.publishDurableAll(
      messages.flatMap((message) => (message === undefined ? [] : { ...message, messageId: newId() })),
    );
    expect(outcomes.every(({ ok }) => ok)).toBe(true);
  };
  const untilSettled = async () =>
    await waitFor(async () => (await fixture.unsettled()) === 0, {
      ...patience,
      what: 'the stream to be settled',
    });
  const internal = subjects.internal('audit', 'watermark');
  const ask = async (
    { source, incarnation, key, sequence }: SpecProducer,
    { last = sequence, unavailable = [] as SequenceRange[], subject = internal, signer = key } = {},
  ) => {
    const nonce = randomBytes(16).toString('base64url');
    const request = { source, nonce, incarnations: [{ incarnation, last, unavailable }] };
    const { publicJwk: verify } = await SigningKey.fromFile(fixture.config.signingKeyPath);
    const answer = await fixture.messaging.request<WatermarkAnswer>(subject, request, { signer, verify });
    // To this question and no other, by the key that the events of the audit service are signed with.
    expect(answer).toMatchObject({ source, nonce });
    return answer.incarnations[0] ?? null;
  };
  /** Asks as a producer does, again and again, until something is asked for. */
  const untilMissing = async (producer: SpecProducer): Promise<SequenceRange[]> => {
    let missing: SequenceRange[] = [];
    await waitFor(async () => (missing = (await ask(producer))?.missing ?? []).length > 0, {
      ...patience,
      what: 'something to be missing',
    });
    return missing;
  };
  const gaps = async (query: object = {}): Promise<ApiResponse<'gaps.list'>['gaps']> =>
    (await fixture.messaging.request<ApiResponse<'gaps.list'>>('fleet.v1.api.gaps.list', query)).gaps;
  const told = async (what: string) =>
    await fixture.query<{ first: string; last: string; detail: string | null }>(
      `SELECT data ->> 'first' AS first, data ->> 'last' AS last, data ->> 'detail' AS detail
         FROM audit.events WHERE type = $1 ORDER BY time, id`,
      [`tradefleet.audit.${what}`],
    );
  const untilTold = async (what: string, count = 1) =>
    await waitFor(async () => (await told(what)).length === count, {
      ...patience,
      what: `${what} to be told`,
    });

  it('tells how far events are recorded, to the producer and nobody else', async () => {
    await fixture.start();
    const agent = await SpecProducer.agent();
    const subject = subjects.watermark(agent.host);
    await expect(ask(agent, { subject })).rejects.toMatchObject({ code: 'host_not_registered' });
    await send(await registrationOf(scheduler, agent), ...(await agent.many(3)));
    await untilSettled();
    expect(await ask(agent, { subject })).toEqual({ incarnation: agent.incarnation, upTo: 3, missing: [] });
    expect(await ask(scheduler)).toMatchObject({ upTo: 1 });
    expect(await ask(scheduler.restarted())).toMatchObject({ upTo: 0, missing: [] });
    await expect(ask(agent)).rejects.toMatchObject({ code: 'wrong_host' });
    await expect(ask(agent, { subject: subjects.watermark('another') })).rejects.toMatchObject({
      code: 'wrong_host',
    });
    const signer = await SigningKey.generate();
    await expect(ask(agent, { subject, signer })).rejects.toMatchObject({ code: 'bad_signature' });
    await expect(ask(scheduler, { signer })).rejects.toMatchObject({ code: 'bad_signature' });
    const page = await fixture.messaging.request<ApiResponse<'producers.list'>>(
      'fleet.v1.api.producers.list',
      {},
    );
    expect(page.producers).toEqual([
      expect.objectContaining({ source: agent.source, upTo: 3, highest: 3, missing: [] }),
      expect.objectContaining({ source: '/scheduler', upTo: 1, highest: 1 }),
    ]);
  });

  it('asks for what is missing, and tells when it was found and when it came', async () => {
    await fixture.start(soon);
    const [one, two, three, four] = await scheduler.many(4);
    await send(one, two, four);
    await untilSettled();
    expect(await ask(scheduler)).toMatchObject({ upTo: 2, missing: [] });
    expect(await untilMissing(scheduler)).toEqual([[3, 3]]);
    expect(await gaps()).toMatchObject([{ first: 3, last: 3, state: 'open', closedAt: null }]);
    await untilTold('gap-found');
    await send(three);
    await waitFor(async () => (await ask(scheduler))?.upTo === 4, patience);
    expect(await gaps()).toMatchObject([{ first: 3, last: 3, state: 'refilled', lost: 0 }]);
    await untilTold('gap-refilled');
    expect(await told('gap-found')).toHaveLength(1);
    expect(await told('gap-lost')).toEqual([]);
  });

  it('gives up what its producer does not have any more, and says so', async () => {
    await fixture.start(soon);
    const [one, , , , five] = await scheduler.many(6);
    await send(one, five);
    await untilSettled();
    // The last was published as well, says its producer.
    expect(await untilMissing(scheduler)).toEqual([[2, 4], [6, 6]]); // prettier-ignore
    const answer = await ask(scheduler, { unavailable: [[2, 3]] });
    expect(answer).toMatchObject({ upTo: 3 });
    expect(await ask(scheduler, { unavailable: [[4, 4], [6, 6]] })).toMatchObject({ upTo: 6 }); // prettier-ignore
    expect(await gaps({ state: 'lost' })).toHaveLength(2);
    await untilTold('gap-lost', 3);
    expect(await told('gap-refilled')).toEqual([]);
    // What nobody asked for cannot be given up.
    expect(await ask(scheduler.restarted(), { last: 9, unavailable: [[1, 9]] })).toMatchObject({ upTo: 0 });
  });

  it('asks for all that a stream held that is gone, part by part', async () => {
    const lost = await scheduler.many(3000);
    await send(...lost);
    const manager = await fixture.messaging.manager();
    await manager.streams.delete(streams.events.name);
    await provision(fixture.messaging, { streams: [streams.events], consumers: [impatientConsumer] });
    await fixture.start(soon);
    await send(...(await scheduler.many(2)));
    await untilSettled();
    const first = await untilMissing(scheduler);
    expect(first).toEqual([[1, 2048]]);
    await send(...lost.slice(0, 2048));
    await untilSettled();
    // The next part at once.
    expect((await ask(scheduler))?.missing).toEqual([[2049, 3000]]);
    await send(...lost.slice(2048));
    await untilSettled();
    expect(await ask(scheduler)).toMatchObject({ upTo: 3002, missing: [] });
    expect(await gaps()).toMatchObject([{ first: 1, last: 3000, state: 'refilled' }]);
    expect(await fixture.recordedIds()).toHaveLength(3002);
  });

  it('is not held up by bad events that were signed, and not moved by forged ones', async () => {
    await fixture.start();
    const [one, two, three] = await scheduler.many(3);
    const forger = new SpecProducer('/scheduler', await SigningKey.generate(), scheduler.incarnation);
    await send(one, two === undefined ? two : await fixture.resigned({ ...two, body: '{}' }));
    await send(await forger.next({ sequence: 3 }));
    await untilSettled();
    expect(await ask(scheduler)).toMatchObject({ upTo: 2 });
    await send(three);
    await untilSettled();
    expect(await ask(scheduler)).toMatchObject({ upTo: 3 });
  });

  it('reports once a producer that leaves a gap and is silent', async () => {
    await fixture.start({ silentAfterMs: 1000 });
    const [one, , three] = await scheduler.many(3);
    await send(one, three);
    await untilTold('gap-found');
    expect(await told('gap-found')).toEqual([{ first: '2', last: '2', detail: 'its producer is silent' }]);
    // Another one is found later: so the first was looked at again meanwhile.
    const later = scheduler.restarted();
    const [, two] = await later.many(2);
    await send(two);
    await untilTold('gap-found', 2);
    expect(await gaps()).toMatchObject([
      { incarnation: later.incarnation, first: 1, last: 1 },
      { incarnation: scheduler.incarnation, first: 2, last: 2, detail: 'its producer is silent' },
    ]);
  });
});
