import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Inject, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { streams, type StreamSpec } from '#libs/contracts';
import { traceIdOf } from '#libs/telemetry';
import { freePort, startNats, uniqueName, waitFor, type TestNats } from '#libs/testing';
import type { OutgoingMessage } from './durable-publisher.js';
import { connectMessaging, Messaging, type ConnectionState } from './messaging.js';
import { MessagingModule } from './messaging.module.js';
import { provision } from './provision.js';
import type { TailedMessage } from './tail.js';
import { connected, recordingLogger } from './testing/fleet.fixture.js';

let nats: TestNats;
let messaging: Messaging;

beforeAll(async () => {
  nats = await startNats();
  messaging = await connected(nats);
});
afterAll(async () => {
  await messaging.drain();
  await nats.stop();
});

async function aStream(client = messaging, spec: Partial<StreamSpec> = {}): Promise<StreamSpec> {
  const name = uniqueName('s');
  const stream: StreamSpec = {
    ...streams.events,
    name,
    subjects: [`${name}.>`],
    max_bytes: 64 * 1024 * 1024,
    ...spec,
  };
  await provision(client, { streams: [stream] });
  return stream;
}

const message = (stream: StreamSpec, n: number, id = `${stream.name}-${n}`): OutgoingMessage => ({
  subject: `${stream.name}.x`,
  messageId: id,
  body: JSON.stringify({ n }),
  headers: { n: String(n) },
});

async function storedIn({ name }: StreamSpec): Promise<number> {
  return (await (await messaging.manager()).streams.info(name)).state.messages;
}

describe('request', () => {
  it('gives up in time, and says that it may have been done', async () => {
    const raw = await nats.connect();
    const subject = uniqueName('silent');
    raw.subscribe(subject, { callback: () => undefined });
    await raw.flush();
    const failed = messaging.request(subject, {}, { timeoutMs: 50 });
    await expect(failed).rejects.toMatchObject({ code: 'timeout', retry: true });
    await raw.close();
  });

  it('says at once when nobody serves a subject, and when the API has no such operation', async () => {
    const code = async (subject: string) =>
      messaging.request(subject, {}).catch((error: unknown) => (error as { code: string }).code);
    expect(await code('fleet.v1.api.bots.get')).toBe('unavailable');
    expect(await code('fleet.v1.api.bots.frobnicate')).toBe('unknown_subject');
    expect(await code(uniqueName('x'))).toBe('unavailable');
  });

  it.each([['not json'], ['{"hello":1}'], ['{"ok":false,"problem":{"code":"made_up"}}']])(
    'takes the answer %s for a defect',
    async (body) => {
      const raw = await nats.connect();
      const subject = uniqueName('odd');
      raw.subscribe(subject, { callback: (_error, request) => void request.respond(body) });
      await raw.flush();
      const failed: unknown = await messaging.request(subject, {}).catch((error: unknown) => error);
      expect(['internal', 'malformed_json']).toContain((failed as { code: string }).code);
      await raw.close();
    },
  );

  it('passes headers and bytes through when asked raw', async () => {
    const raw = await nats.connect();
    const subject = uniqueName('echo');
    raw.subscribe(subject, {
      callback: (_error, request) => {
        if (request.headers === undefined) request.respond('none');
        else request.respond(request.data, { headers: request.headers });
      },
    });
    await raw.flush();
    const bytes = Uint8Array.of(0, 1, 254, 255);
    const reply = await messaging.requestRaw(subject, bytes, { headers: { 'x-mine': 'yes' } });
    expect([...reply.bytes]).toEqual([...bytes]);
    expect(reply.headers['x-mine']).toBe('yes');
    expect(traceIdOf(reply.headers.traceparent ?? '')).toBeDefined();
    await raw.close();
  });
});

describe('publishDurable', () => {
  it('stores a message id once, however often and from wherever it is published', async () => {
    const stream = await aStream();
    const first = await messaging.publishDurable(message(stream, 1));
    const again = await messaging.publishDurable(message(stream, 1));
    const other = await connected(nats);
    const elsewhere = await other.publishDurable(message(stream, 1));
    await other.drain();
    expect(first).toEqual({ seq: 1, duplicate: false });
    expect(again).toEqual({ seq: 1, duplicate: true });
    expect(elsewhere).toEqual({ seq: 1, duplicate: true });
    expect(await storedIn(stream)).toBe(1);
  });

  it('fails when no stream covers the subject', async () => {
    const lost = { subject: uniqueName('nowhere'), messageId: 'm', body: '{}', headers: {} };
    await expect(messaging.publishDurable(lost, { timeoutMs: 300 })).rejects.toMatchObject({
      code: 'unavailable',
    });
  });

  it('does not try again what is too large', async () => {
    const name = uniqueName('small');
    const stream: StreamSpec = {
      ...streams.events,
      name,
      subjects: [`${name}.>`],
      max_msg_bytes: 100,
      max_msgs_per_subject: null,
      max_bytes: 1e6,
    };
    await provision(messaging, { streams: [stream] });
    const large = { ...message(stream, 1), body: 'x'.repeat(500) };
    await expect(messaging.publishDurable(large)).rejects.toMatchObject({ code: 'payload_too_large' });
  });

  it('succeeds when the stream comes while it is trying', async () => {
    const name = uniqueName('late');
    const stream: StreamSpec = { ...streams.events, name, subjects: [`${name}.>`], max_bytes: 1e6 };
    const published = messaging.publishDurable(message(stream, 1));
    await provision(messaging, { streams: [stream] });
    await expect(published).resolves.toMatchObject({ seq: 1 });
  });
});

describe('publishDurableAll', () => {
  it('stores in order, more than fit in the window', async () => {
    const stream = await aStream();
    const messages = Array.from({ length: 500 }, (_, n) => message(stream, n));
    const outcomes = await messaging.publishDurableAll(messages, { window: 32 });
    expect(outcomes.map((outcome) => outcome.ok && outcome.seq)).toEqual(messages.map((_, n) => n + 1));
    expect(outcomes.map(({ messageId }) => messageId)).toEqual(messages.map(({ messageId }) => messageId));
  });

  it('sends nothing after a failure, so that a repetition keeps the order', async () => {
    const stream = await aStream();
    const bad = { ...message(stream, 3), subject: uniqueName('nowhere') };
    const messages = [message(stream, 1), message(stream, 2), bad, message(stream, 4), message(stream, 5)];
    const outcomes = await messaging.publishDurableAll(messages, { window: 1 });
    expect(outcomes.map(({ ok }) => ok)).toEqual([true, true, false, false, false]);
    expect(await storedIn(stream)).toBe(2);
    const repeated = await messaging.publishDurableAll([...messages.slice(0, 2), ...messages.slice(3)]);
    expect(repeated.every(({ ok }) => ok)).toBe(true);
    expect(await storedIn(stream)).toBe(4);
  });

  it('goes on past a subject that is full, and says so, when told to', async () => {
    const stream = await aStream(messaging, { max_msgs_per_subject: 2, retention: 'workqueue' });
    const full = [1, 2, 3].map((n) => message(stream, n));
    const other = { ...message(stream, 4), subject: `${stream.name}.other` };
    const outcomes = await messaging.publishDurableAll([...full, other], {
      window: 1,
      onFailure: 'continue',
    });
    expect(outcomes.map(({ ok }) => ok)).toEqual([true, true, false, true]);
    expect(outcomes[2]).toMatchObject({ full: true, error: { code: 'unavailable' } });
    const nowhere = { ...message(stream, 5), subject: uniqueName('nowhere') };
    expect(await messaging.publishDurableAll([nowhere])).toMatchObject([{ ok: false, full: false }]);
  });

  it('has nothing to do with nothing', async () => {
    expect(await messaging.publishDurableAll([])).toEqual([]);
  });
});

describe('tail', () => {
  const numbers = (messages: TailedMessage[]) => messages.map(({ headers }) => Number(headers.n));

  it('shows what comes from now on, and stops', async () => {
    const stream = await aStream();
    await messaging.publishDurable(message(stream, 1));
    const seen: TailedMessage[] = [];
    const stop = await messaging.tail(`${stream.name}.>`, (m) => void seen.push(m), { stream: stream.name });
    await messaging.publishDurableAll([message(stream, 2), message(stream, 3)]);
    await waitFor(() => seen.length === 2, { what: 'two messages' });
    await stop();
    await messaging.publishDurable(message(stream, 4));
    expect(numbers(seen)).toEqual([2, 3]);
    expect(seen[0]).toMatchObject({ seq: 2, subject: `${stream.name}.x` });
  });

  it('begins at a place or a time, and filters', async () => {
    const stream = await aStream();
    await messaging.publishDurableAll([1, 2, 3].map((n) => message(stream, n)));
    await messaging.publishDurable({ ...message(stream, 4), subject: `${stream.name}.y` });
    const seen: TailedMessage[] = [];
    const options = { stream: stream.name };
    const fromSeq = await messaging.tail(`${stream.name}.x`, (m) => void seen.push(m), {
      ...options,
      sinceSeq: 2,
    });
    await waitFor(() => seen.length === 2, { what: 'from a place' });
    expect(numbers(seen)).toEqual([2, 3]);
    await fromSeq();
    const third = seen[1]?.storedAtMs ?? 0;
    seen.length = 0;
    await waitFor(() => Date.now() > third + 1, { what: 'the clock' });
    await messaging.publishDurable(message(stream, 5));
    const fromTime = await messaging.tail(`${stream.name}.x`, (m) => void seen.push(m), {
      ...options,
      sinceTime: new Date(third + 1),
    });
    await waitFor(() => seen.length > 0, { what: 'from a time' });
    expect(numbers(seen)).toEqual([5]);
    await fromTime();
  });

  it('goes on after a handler that throws', async () => {
    const stream = await aStream();
    const seen: number[] = [];
    const stop = await messaging.tail(
      `${stream.name}.>`,
      ({ headers }) => {
        seen.push(Number(headers.n));
        throw new Error('reader away');
      },
      { stream: stream.name },
    );
    await messaging.publishDurableAll([message(stream, 1), message(stream, 2)]);
    await waitFor(() => seen.length === 2, { what: 'both' });
    await stop();
  });

  it('goes on without gap or repetition when the server was away', async () => {
    const own = await startNats();
    const client = await connected(own);
    try {
      const stream = await aStream(client);
      const seen: TailedMessage[] = [];
      const stop = await client.tail(`${stream.name}.>`, (m) => void seen.push(m), { stream: stream.name });
      await client.publishDurable(message(stream, 1));
      await waitFor(() => seen.length === 1, { what: 'the first' });
      await own.kill();
      await waitFor(() => !client.isConnected(), { what: 'the loss' });
      await own.restart();
      await waitFor(() => client.isConnected(), { what: 'the connection' });
      await client.publishDurableAll([message(stream, 2), message(stream, 3)]);
      await waitFor(() => seen.length >= 3, { timeoutMs: 50_000, what: 'the others' });
      expect(numbers(seen)).toEqual([1, 2, 3]);
      await stop();
    } finally {
      await client.drain();
      await own.stop();
    }
  });
});

describe('the connection', () => {
  it('tells when it is lost and back, and sends nothing late', async () => {
    const own = await startNats();
    const client = await connected(own);
    const states: ConnectionState[] = [];
    const stop = client.onStatus((state) => void states.push(state));
    try {
      await own.kill();
      await waitFor(() => !client.isConnected(), { what: 'the loss' });
      await expect(client.request('x', {})).rejects.toMatchObject({ code: 'unavailable' });
      await own.restart();
      const raw = await own.connect();
      const late: string[] = [];
      raw.subscribe('x', { callback: (_error, m) => void late.push(m.string()) });
      await waitFor(() => client.isConnected(), { what: 'the connection' });
      await client.internals().connection.flush();
      await raw.flush();
      expect(late).toEqual([]);
      expect(states).toEqual(['disconnected', 'connected']);
      stop();
      await raw.close();
    } finally {
      await client.drain();
      await own.stop();
    }
    expect(client.isConnected()).toBe(false);
    expect(states).toEqual(['disconnected', 'connected']);
  });

  it('waits for a server that is not there yet, as long as it is told', async () => {
    const { logger, text } = recordingLogger();
    const servers = `nats://127.0.0.1:${await freePort()}`;
    const failed = connectMessaging({
      servers,
      name: 'early',
      logger,
      firstConnectMs: 100,
      password: 'pw-77',
    });
    await expect(failed).rejects.toMatchObject({ code: 'unavailable' });
    expect(text()).toContain('NATS cannot be reached yet');
    expect(text()).not.toContain('pw-77');
  });

  it('stops waiting when told to', async () => {
    const abort = new AbortController();
    const servers = `nats://127.0.0.1:${await freePort()}`;
    const { logger } = recordingLogger();
    const waiting = connectMessaging({ servers, name: 'early', logger, signal: abort.signal });
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('drains in bounded time when the server hangs', async () => {
    const own = await startNats();
    const client = await connected(own);
    await own.kill();
    await waitFor(() => !client.isConnected(), { what: 'the loss' });
    await client.drain();
    await client.drain();
    await own.stop();
    expect(client.isConnected()).toBe(false);
  });
});

describe('MessagingModule', () => {
  @Injectable()
  class User {
    constructor(@Inject(Messaging) readonly messaging: Messaging) {}
  }

  it('provides the client everywhere and drains it at the end', async () => {
    @Module({
      imports: [
        MessagingModule.forRootAsync({
          inject: ['URL'],
          imports: [],
          useFactory: (url: string) => ({ servers: url, name: 'm', logger: recordingLogger().logger }),
        }),
      ],
      providers: [User],
    })
    class AppModule {}
    @Module({ providers: [{ provide: 'URL', useFactory: () => nats.url }], exports: ['URL'], imports: [] })
    class UrlModule {}
    @Module({ imports: [{ module: UrlModule, global: true }, AppModule] })
    class Root {}
    const app = await NestFactory.createApplicationContext(Root, { logger: false });
    const { messaging: provided } = app.get(User);
    expect(provided.isConnected()).toBe(true);
    await app.close();
    expect(provided.isConnected()).toBe(false);
  });

  it('takes a client that is there already', async () => {
    const client = await connected(nats);
    @Module({ imports: [MessagingModule.forRoot(client)], providers: [User] })
    class AppModule {}
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
    expect(app.get(User).messaging).toBe(client);
    await app.close();
    expect(client.isConnected()).toBe(false);
  });
});
