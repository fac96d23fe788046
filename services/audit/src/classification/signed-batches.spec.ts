import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  eventHeaders,
  eventSigningInput,
  newId,
  parseRecordLine,
  type QuarantineCode,
} from '#libs/contracts';
import {
  encodeSignedEvents,
  readEventAttributes,
  SigningKey,
  verifyEventSignature,
  type EventToEncode,
  type OutgoingMessage,
} from '#libs/messaging';
import { startPostgres, waitFor, type TestPostgres } from '#libs/testing';
import { AuditFixture } from '../testing/audit.fixture.js';
import { registrationOf, SpecProducer } from '../testing/producers.js';

const patience = { timeoutMs: 30_000 };
const signatureOf = (message: OutgoingMessage): string => message.headers[eventHeaders.signature] ?? '';
const idOf = (message: OutgoingMessage): string => message.headers[eventHeaders.id] ?? '';
const signedAs = (message: OutgoingMessage, signature: string): OutgoingMessage => ({
  ...message,
  headers: { ...message.headers, [eventHeaders.signature]: signature },
});
/** A signature with one of its parts changed: JWS, index, size, salt, path. */
const withPart = (message: OutgoingMessage, part: number, value: string): OutgoingMessage => {
  const parts = signatureOf(message).split('~');
  parts[part] = value;
  return signedAs(message, parts.join('~'));
};
const partOf = (message: OutgoingMessage, part: number): string =>
  signatureOf(message).split('~')[part] ?? '';

describe('events that share a signature', () => {
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

  /** Under message ids of their own, so that the stream takes the same event again. */
  const send = async (...messages: OutgoingMessage[]) => {
    const outcomes = await fixture.messaging.publishDurableAll(
      messages.map((message) => ({ ...message, messageId: newId() })),
    );
    expect(outcomes.every(({ ok }) => ok)).toBe(true);
    await waitFor(async () => (await fixture.unsettled()) === 0, { ...patience, what: 'all to be settled' });
  };
  const aside = async () =>
    await fixture.query<{ code: QuarantineCode; id: string }>(
      `SELECT code, headers ->> 'ce-id' AS id FROM audit.quarantine ORDER BY stream_seq`,
    );
  const recorded = async (messages: readonly OutgoingMessage[]) => {
    expect(await fixture.recordedIds()).toEqual(messages.map(idOf).sort());
  };

  it('are recorded, and each record is verified alone, by nothing but itself', async () => {
    const messages = await scheduler.many(150);
    expect(new Set(messages.map((it) => partOf(it, 0))).size).toBe(3);
    await fixture.start();
    await send(...messages);
    await recorded(messages);
    const { entries } = await fixture.messaging.call('log.records', { limit: 500 });
    const records = entries.map(({ line }) => parseRecordLine(line ?? ''));
    expect(records).toHaveLength(150);
    for (const { traceparent, data, signature, ...record } of records) {
      const attributes = { ...record, ...(traceparent === null ? {} : { traceparent }) };
      const input = eventSigningInput(attributes, Buffer.from(data));
      await verifyEventSignature(input, signature ?? undefined, scheduler.key.publicJwk);
      const forged = eventSigningInput({ ...attributes, actor: 'user:mallory' }, Buffer.from(data));
      await expect(
        verifyEventSignature(forged, signature ?? undefined, scheduler.key.publicJwk),
      ).rejects.toMatchObject({ code: 'bad_signature' });
    }
    expect(await aside()).toEqual([]);
  });

  it('are put aside when one does not show that it is of the batch, and the others are recorded', async () => {
    const [agent, rogue] = [await SpecProducer.agent(), await SpecProducer.agent()];
    const registrations = [await registrationOf(scheduler, agent), await registrationOf(scheduler, rogue)];
    await fixture.start();
    await send(...registrations);
    const [one, two, three, ...others] = await scheduler.many(8);
    const theirs = await agent.many(8);
    // In the name of the scheduler, signed by a host whose key is known.
    const impostor = new SpecProducer('/scheduler', rogue.key, scheduler.incarnation);
    impostor.sequence = 900;
    const posed = await impostor.many(2);
    // And by a key that nobody knows.
    const stranger = new SpecProducer('/scheduler', await SigningKey.generate(), scheduler.incarnation);
    stranger.sequence = 910;
    if (one === undefined || two === undefined || three === undefined) throw new Error('No events.');
    const [borrower, victim] = [
      await scheduler.next({ sequence: 920 }),
      await scheduler.next({ sequence: 921 }),
    ];
    const forged = [
      // A path of which one hash is made up, one of its neighbour, and all of another event of the batch.
      withPart(one, 4, Buffer.alloc(96, 1).toString('base64url')),
      withPart(two, 4, partOf(three, 4)),
      signedAs(borrower, signatureOf(three)),
      // At another place, and of a batch of another size.
      withPart(three, 1, '6'),
      withPart(three, 2, '9'),
      // The signature that another producer's key made over a batch of the same size.
      ...theirs.slice(0, 1).map((it) => withPart(victim, 0, partOf(it, 0))),
      ...theirs.slice(1, 2).map((it) => signedAs(victim, signatureOf(it))),
      withPart(three, 0, theirs.map((it) => partOf(it, 0))[0] ?? ''),
      ...posed,
      ...(await stranger.many(2)),
      // What is written in another way than we write it.
      signedAs(one, `${signatureOf(one)}=`),
      signedAs(one, `${signatureOf(one)}~`),
    ];
    // Before the batch is known, among its own, and after.
    for (const message of forged) await send(message);
    await send(...forged, one, two, three, ...others, ...theirs, ...forged);
    await send(...forged);
    const codes = await aside();
    expect(new Set(codes.map(({ code }) => code))).toEqual(new Set(['bad_signature']));
    expect(new Set(codes.map(({ id }) => id))).toEqual(new Set(forged.map(idOf)));
    const own = (await fixture.query<{ id: string }>("SELECT id FROM audit.events WHERE source = '/audit'"))
      .length;
    expect(own).toBeGreaterThan(0);
    await recorded([...registrations, one, two, three, ...others, ...theirs]);
  });

  it('are put aside when their batch is known, but by the key of another', async () => {
    const [agent, rogue] = [await SpecProducer.agent(), await SpecProducer.agent()];
    const registrations = [await registrationOf(scheduler, agent), await registrationOf(scheduler, rogue)];
    await fixture.start();
    await send(...registrations);
    // A host signs events of its own together with some in the names of others.
    const asScheduler = new SpecProducer('/scheduler', rogue.key, scheduler.incarnation);
    const asAgent = new SpecProducer(agent.source, rogue.key, agent.incarnation);
    const events = [rogue, asScheduler, asAgent, rogue].map((it) => it.nextNumbered());
    const [own, posedAsScheduler, posedAsAgent, last] = await encodeSignedEvents(events, rogue.key);
    if (
      own === undefined ||
      posedAsScheduler === undefined ||
      posedAsAgent === undefined ||
      last === undefined
    )
      throw new Error('No events.');
    await send(own);
    await send(last, posedAsScheduler, posedAsAgent);
    expect(await aside()).toEqual([
      { code: 'bad_signature', id: idOf(posedAsScheduler) },
      { code: 'bad_signature', id: idOf(posedAsAgent) },
    ]);
    await recorded([...registrations, own, last]);
  });

  it('are the same events when they are signed anew, alone or with others', async () => {
    const people = ['user:ada', 'user:grace', 'service:scheduler'];
    const events: EventToEncode[] = Array.from({ length: 90 }, (_, n) =>
      scheduler.nextNumbered({ actor: people[n % people.length] ?? 'user:ada' }),
    );
    const first = await encodeSignedEvents(events, scheduler.key);
    const again = await encodeSignedEvents(events.slice(10, 50), scheduler.key);
    const alone = await Promise.all(
      events.slice(0, 10).map(async (event) => await encodeSignedEvents([event], scheduler.key)),
    );
    expect(signatureOf(first[10] ?? (again[0] as OutgoingMessage))).not.toBe(
      signatureOf(again[0] as OutgoingMessage),
    );
    await fixture.start();
    await send(...first);
    await send(...again, ...alone.flat());
    // In one batch of deliveries as well.
    await send(...(await encodeSignedEvents(events.slice(50), scheduler.key)), ...first);
    await recorded(first);
    expect(await aside()).toEqual([]);
  });

  it('are put aside once, however often they are published again with a key that is not known', async () => {
    const stranger = new SpecProducer('/scheduler', await SigningKey.generate());
    const gateway = new SpecProducer('/gateway', await SigningKey.generate());
    const data = { method: 'GET', path: '/', ip: '::1' };
    const events = Array.from({ length: 5 }, () => stranger.nextNumbered());
    const refused = Array.from({ length: 5 }, () =>
      gateway.numbered('tradefleet.session.refused', 'gateway', data),
    );
    await fixture.start();
    for (let time = 0; time < 3; time += 1)
      await send(
        ...(await encodeSignedEvents(events, stranger.key)),
        ...(await encodeSignedEvents(refused, gateway.key)),
      );
    expect((await aside()).map(({ code }) => code)).toEqual([
      ...events.map(() => 'bad_signature'),
      ...refused.map(() => 'unknown_producer'),
    ]);
  });

  it('may be of several incarnations of a host, each of which has its own key', async () => {
    const agent = await SpecProducer.agent();
    const after = agent.restarted();
    await fixture.start();
    await send(await registrationOf(scheduler, agent), await registrationOf(scheduler, after));
    // What a restarted agent finds in its spool goes out with what it tells now.
    const mixed = await encodeSignedEvents(
      [agent.nextNumbered(), after.nextNumbered(), agent.nextNumbered(), after.nextNumbered()],
      agent.key,
    );
    await send(...mixed);
    expect(await fixture.recordedIds()).toEqual(expect.arrayContaining(mixed.map(idOf)));
    expect(await aside()).toEqual([]);
    expect(readEventAttributes(mixed[0]?.headers ?? {}).incarnation).toBe(agent.incarnation);
  });
});
