import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { JsMsg } from '@nats-io/jetstream';
import { streams, type StreamSpec } from '#libs/contracts';
import { startNats, uniqueName, type TestNats } from '#libs/testing';
import { header, readHeaders, readMessageHeaders, writeHeaders } from './headers.js';
import type { Messaging } from './messaging.js';
import { provision } from './provision.js';
import { connected } from './testing/fleet.fixture.js';
import { publishRaw } from './testing/raw.publisher.js';

describe('headers', () => {
  it('are found whatever their case, by their exact name first', () => {
    const headers = { 'Ce-Id': 'other case', 'ce-id': 'exact', 'CE-TYPE': 'found' };
    expect(header(headers, 'ce-id')).toBe('exact');
    expect(header(headers, 'ce-type')).toBe('found');
    expect(header(headers, 'ce-time')).toBeUndefined();
  });
});

describe('headers of a message of a stream', () => {
  let nats: TestNats;
  let messaging: Messaging;
  let stream: StreamSpec;

  beforeAll(async () => {
    nats = await startNats();
    messaging = await connected(nats);
    const name = uniqueName('s');
    stream = { ...streams.events, name, subjects: [`${name}.>`] };
    await provision(messaging, { streams: [stream] });
  });
  afterAll(async () => {
    await messaging.drain();
    await nats.stop();
  });

  /** What a stock client receives of it. */
  async function received(subject: string): Promise<JsMsg> {
    const { js } = messaging.internals();
    const consumer = await js.consumers.get(stream.name, { filter_subjects: subject });
    const message = await consumer.next({ expires: 5000 });
    if (message === null) throw new Error(`Nothing came on ${subject}.`);
    return message;
  }

  it('are those that the library reads, without its reading them', async () => {
    const subject = `${stream.name}.usual`;
    const sent = { 'ce-id': 'one', 'ce-actor': 'user:ünï', empty: '', colons: 'a: b:c', spaces: 'a b' };
    const { js } = messaging.internals();
    await js.publish(subject, '{"n":1}', { headers: writeHeaders(sent) });
    const message = await received(subject);
    expect(readMessageHeaders(withoutHeaders(message))).toEqual(sent);
    expect(readMessageHeaders(message)).toEqual(readHeaders(message.headers));
    expect(Buffer.from(message.data).toString('utf8')).toBe('{"n":1}');
  });

  it('are none where none were sent', async () => {
    const subject = `${stream.name}.none`;
    await messaging.internals().js.publish(subject, '{}');
    expect(readMessageHeaders(await received(subject))).toEqual({});
  });

  it('are read as far as they go, whatever was sent: the first of each name, none too long, not too many', async () => {
    const subject = `${stream.name}.odd`;
    const many = Array.from({ length: 100 }, (_, n) => `many-${n}: ${n}\r\n`).join('');
    await publishRaw(
      nats.url,
      subject,
      `a name: with a blank\r\nno colon\r\n: no name\r\ntwice:  first \r\ntwice: second\r\n` +
        `long: ${'x'.repeat(5000)}\r\n__proto__: none\r\nconstructor: kept\r\n${many}`,
      '{}',
    );
    const headers = readMessageHeaders(await received(subject));
    expect(headers).toMatchObject({
      'a name': 'with a blank',
      twice: 'first',
      constructor: 'kept',
      'many-1': '1',
    });
    expect(headers).not.toHaveProperty('long');
    expect(Object.keys(headers).length).toBeLessThanOrEqual(64);
    expect(Object.getPrototypeOf(headers)).toBe(Object.prototype);
  });
});

/** The message as it came, and nothing of what the library makes of its headers. */
function withoutHeaders(message: JsMsg): JsMsg {
  return new Proxy(message, {
    get(target, name) {
      if (name === 'headers') throw new Error('The library read the headers.');
      return Reflect.get(target, name) as unknown;
    },
  });
}
