import { describe, expect, it } from '@jest/globals';
import { eventHeaders, newId, type AllocationEventData } from '#libs/contracts';
import {
  decodeEvent,
  encodeEvent,
  encodeSignedEvent,
  encodeSignedEvents,
  verifyEvent,
  type EventToEncode,
} from './events.js';
import type { OutgoingMessage } from './durable-publisher.js';
import { Poison } from './jetstream/delivery.js';
import { SigningKey } from './signing/signing-key.js';

const allocation = newId();
const data: AllocationEventData = {
  allocation,
  tenant: 'acme',
  bot: 'bot',
  account: 'acc',
  host: 'h1',
  epoch: 3,
  state: 'running',
  stage: 'trade-allowed',
  attempt: 1,
  reason: null,
  detail: null,
  exitCode: null,
};
const event: EventToEncode<'tradefleet.allocation.running'> = {
  type: 'tradefleet.allocation.running',
  subjectId: allocation,
  data,
  actor: 'user:eve',
  traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
  time: '2026-01-01T00:00:00.000Z',
  id: newId(),
  source: '/agent/h1',
  incarnation: newId(),
  sequence: 7,
};

function received(message: OutgoingMessage) {
  const bytes = typeof message.body === 'string' ? Buffer.from(message.body) : message.body;
  return {
    subject: message.subject,
    headers: { ...message.headers } as Readonly<Record<string, string>>,
    bytes,
    body: JSON.parse(Buffer.from(bytes).toString('utf8')) as unknown,
  };
}

const without = (headers: Readonly<Record<string, string>>, name: string): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).filter(([key]) => key !== name));

describe('an event', () => {
  it('is a CloudEvent in binary mode under its own message id', () => {
    const message = encodeEvent(event);
    expect(message.subject).toBe(`fleet.v1.evt.allocation.${allocation}.running`);
    expect(message.messageId).toBe(event.id);
    expect(message.headers).toEqual({
      'ce-specversion': '1.0',
      'ce-id': event.id,
      'ce-source': '/agent/h1',
      'ce-type': 'tradefleet.allocation.running',
      'ce-time': event.time,
      'ce-subject': `allocation/${allocation}`,
      'ce-sequence': '7',
      'ce-incarnation': event.incarnation,
      'ce-actor': 'user:eve',
      'content-type': 'application/json',
      traceparent: event.traceparent,
    });
  });

  it('comes back as it went', () => {
    const decoded = decodeEvent(received(encodeEvent(event)));
    expect(decoded).toMatchObject({
      type: event.type,
      data,
      entity: 'allocation',
      entityId: allocation,
      what: 'running',
    });
    expect(decoded.attributes).toMatchObject({ id: event.id, sequence: 7, actor: 'user:eve' });
    // The type tells the data.
    if (decoded.type === 'tradefleet.allocation.running') expect(decoded.data.epoch).toBe(3);
  });

  it('is not made with data that does not fit', () => {
    expect(() => encodeEvent({ ...event, data: { ...data, epoch: 0 } })).toThrow();
    expect(() => encodeEvent({ ...event, sequence: 0 })).toThrow();
    expect(() => encodeEvent({ ...event, subjectId: 'a.b' })).toThrow();
  });

  const misfits: [string, (r: ReturnType<typeof received>) => void][] = [
    ['without an id', (r) => (r.headers = without(r.headers, eventHeaders.id))],
    [
      'with an unknown type',
      (r) => Object.assign(r.headers, { 'ce-type': 'tradefleet.allocation.exploded' }),
    ],
    ['with a type of another kind', (r) => Object.assign(r.headers, { 'ce-type': 'com.example.x' })],
    ['with a sequence in hexadecimal', (r) => Object.assign(r.headers, { 'ce-sequence': '0x7' })],
    ['with sequence 0', (r) => Object.assign(r.headers, { 'ce-sequence': '0' })],
    ['with a foreign source', (r) => Object.assign(r.headers, { 'ce-source': '/elsewhere' })],
    [
      'whose subject is another entity',
      (r) => Object.assign(r.headers, { 'ce-subject': `bot/${allocation}` }),
    ],
    ['on the subject of another entity', (r) => (r.subject = `fleet.v1.evt.allocation.${newId()}.running`)],
    [
      'on the subject of another happening',
      (r) => (r.subject = `fleet.v1.evt.allocation.${allocation}.failed`),
    ],
    ['whose data lacks a field', (r) => (r.body = { ...data, host: undefined })],
    ['whose data has a field too many', (r) => (r.body = { ...data, password: 'hunter2' })],
    ['whose data is a list', (r) => (r.body = [])],
  ];
  it.each(misfits)('is poison %s', (_what, change) => {
    const message = received(encodeEvent(event));
    change(message);
    const decode = () => decodeEvent(message);
    expect(decode).toThrow(Poison);
    expect(decode).not.toThrow(/hunter2/);
  });
});

const changes: [string, string][] = [
  [eventHeaders.id, newId()],
  [eventHeaders.source, '/agent/h2'],
  [eventHeaders.type, 'tradefleet.allocation.failed'],
  [eventHeaders.time, '2026-01-01T00:00:01.000Z'],
  [eventHeaders.subject, `allocation/${newId()}`],
  [eventHeaders.sequence, '8'],
  [eventHeaders.incarnation, newId()],
  [eventHeaders.actor, 'user:mallory'],
  [eventHeaders.traceparent, `00-${'c'.repeat(32)}-${'b'.repeat(16)}-01`],
  [eventHeaders.traceparent, ''],
  [eventHeaders.id, ''],
];

describe('a signed event', () => {
  it('verifies with the key of its maker only', async () => {
    const key = await SigningKey.generate();
    const message = received(await encodeSignedEvent(event, key));
    decodeEvent(message);
    await verifyEvent(message, key.publicJwk);
    const other = (await SigningKey.generate()).publicJwk;
    await expect(verifyEvent(message, other)).rejects.toMatchObject({ code: 'bad_signature' });
    await expect(verifyEvent(received(encodeEvent(event)), key.publicJwk)).rejects.toMatchObject({
      code: 'bad_signature',
    });
  });

  it.each(changes)('does not verify with %s changed to "%s"', async (name, value) => {
    const key = await SigningKey.generate();
    const message = received(await encodeSignedEvent(event, key));
    const others = without(message.headers, name);
    message.headers = value === '' ? others : { ...others, [name]: value };
    await expect(verifyEvent(message, key.publicJwk)).rejects.toMatchObject({ code: 'bad_signature' });
  });

  it('does not verify with one byte of the body changed', async () => {
    const key = await SigningKey.generate();
    const message = received(await encodeSignedEvent(event, key));
    const bytes = Buffer.from(message.bytes);
    bytes[20] = (bytes[20] ?? 0) ^ 1;
    await expect(verifyEvent({ ...message, bytes }, key.publicJwk)).rejects.toMatchObject({
      code: 'bad_signature',
    });
  });
});

describe('events that are signed together', () => {
  const numbered = (count: number): EventToEncode[] =>
    Array.from({ length: count }, (_, n) => ({ ...event, id: newId(), sequence: n + 1 }));
  const sharedIn = (messages: readonly OutgoingMessage[]): Set<string | undefined> =>
    new Set(messages.map(({ headers }) => headers[eventHeaders.signature]?.split('~')[0]));

  it('are the same messages as alone, and share a signature, 64 at most', async () => {
    const key = await SigningKey.generate();
    const events = numbered(130);
    const messages = await encodeSignedEvents(events, key);
    expect(sharedIn(messages).size).toBe(3);
    for (const [index, message] of messages.entries()) {
      const alone = await encodeSignedEvent(events[index] ?? event, key);
      expect({ ...message, headers: without(message.headers, eventHeaders.signature) }).toEqual({
        ...alone,
        headers: without(alone.headers, eventHeaders.signature),
      });
      await verifyEvent(received(message), key.publicJwk);
    }
    expect(await encodeSignedEvents([], key)).toEqual([]);
    expect(await encodeSignedEvents([event], key)).toEqual([await encodeSignedEvent(event, key)]);
  });

  it.each(changes)('do not verify with %s changed to "%s"', async (name, value) => {
    const key = await SigningKey.generate();
    const [sent, other] = await encodeSignedEvents([event, { ...event, id: newId(), sequence: 8 }], key);
    if (sent === undefined || other === undefined) throw new Error('No messages.');
    const message = received(sent);
    const others = without(message.headers, name);
    message.headers = value === '' ? others : { ...others, [name]: value };
    // The batch is known by then.
    await verifyEvent(received(other), key.publicJwk);
    await expect(verifyEvent(message, key.publicJwk)).rejects.toMatchObject({ code: 'bad_signature' });
  });
});
