import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, type INestMicroservice } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { limits, streams, type ConsumerSpec, type StreamSpec } from '#libs/contracts';
import { requestContext, traceIdOf } from '#libs/telemetry';
import { startNats, uniqueName, waitFor, type TestNats } from '#libs/testing';
import type { Messaging } from '../messaging.js';
import { provision } from '../provision.js';
import type { TailedMessage } from '../tail.js';
import { connected, recordingLogger, serve, signal } from '../testing/fleet.fixture.js';
import { publishRaw } from '../testing/raw.publisher.js';
import { Consume } from './consume.decorator.js';
import type { ConsumerOptions } from './consumer-worker.js';
import { deadLetterHeaders } from './dead-letters.js';
import { Poison, type Delivery } from './delivery.js';
import { JetStreamServer } from './jetstream.server.js';

let nats: TestNats;
let messaging: Messaging;
const log = recordingLogger();
const apps: INestMicroservice[] = [];
const quick = { min_ms: 1, max_ms: 20 };

beforeAll(async () => {
  nats = await startNats();
  messaging = await connected(nats, { logger: log.logger });
  await provision(messaging, { streams: [streams.deadLetters] });
});
afterEach(async () => {
  for (const app of apps.splice(0)) await app.close();
});
afterAll(async () => {
  await messaging.drain();
  await nats.stop();
});

/** A stream and a consumer of this test's own. */
async function made(spec: Partial<ConsumerSpec> = {}, retention: StreamSpec['retention'] = 'workqueue') {
  const name = uniqueName('s');
  const stream: StreamSpec = {
    name,
    subjects: [`${name}.>`],
    retention,
    max_age_ms: 3_600_000,
    max_bytes: 64 * 1024 * 1024,
    max_msg_bytes: 512 * 1024,
    max_msgs_per_subject: null,
    duplicate_window_ms: 120_000,
  };
  const consumer: ConsumerSpec = {
    stream: name,
    durable: uniqueName('c'),
    filter: `${name}.>`,
    ack_wait_ms: 30_000,
    deliveries_max: 5,
    unsettled_max: 100,
    ...spec,
  };
  await provision(messaging, { streams: [stream], consumers: [consumer] });
  return { stream, consumer };
}

type Handle = (payload: Delivery | Delivery[]) => Promise<void> | void;

function controllerOf(handle: Handle) {
  @Controller()
  class Handler {
    @Consume('test')
    async handle(@Payload() payload: Delivery): Promise<void> {
      await handle(payload);
    }
  }
  return Handler;
}

async function consume(
  options: Omit<ConsumerOptions, 'name'>,
  handle: Handle,
  client = messaging,
  graceMs = 5000,
) {
  const server = new JetStreamServer(client, {
    consumers: [{ ...options, name: 'test' }],
    nakBackoff: quick,
    graceMs,
  });
  const app = await serve([controllerOf(handle)], server, log.logger);
  apps.push(app);
  return app;
}

async function publish(
  stream: StreamSpec,
  bodies: readonly (string | object)[],
  headers: Record<string, string> = {},
) {
  for (const body of bodies)
    await messaging.publishDurable({
      subject: `${stream.name}.x`,
      messageId: uniqueName('m'),
      body: typeof body === 'string' ? body : JSON.stringify(body),
      headers,
    });
}

const numbered = (count: number): object[] => Array.from({ length: count }, (_, n) => ({ n }));
const numberOf = (delivery: Delivery): number => (delivery.body as { n: number }).n;
const single = (payload: Delivery | Delivery[]): Delivery => payload as Delivery;
const batch = (payload: Delivery | Delivery[]): Delivery[] => payload as Delivery[];

/** What is neither handed out nor settled, and what is handed out. */
async function left({ stream, durable }: ConsumerSpec) {
  const info = await (await messaging.manager()).consumers.info(stream, durable);
  return { pending: info.num_pending, unsettled: info.num_ack_pending };
}

/** The consumer hears of a message a moment after it was stored: that nothing is pending says nothing yet. */
async function settled(consumer: ConsumerSpec): Promise<void> {
  const manager = await messaging.manager();
  await waitFor(
    async () => {
      const { state } = await manager.streams.info(consumer.stream);
      const { num_pending, num_ack_pending, delivered } = await manager.consumers.info(
        consumer.stream,
        consumer.durable,
      );
      return num_pending === 0 && num_ack_pending === 0 && delivered.stream_seq >= state.last_seq;
    },
    { what: 'everything to be settled' },
  );
}

async function deadLettersOf({ durable }: ConsumerSpec, count: number): Promise<TailedMessage[]> {
  const letters: TailedMessage[] = [];
  const stop = await messaging.tail(`fleet.v1.dead.${durable}`, (letter) => void letters.push(letter), {
    stream: streams.deadLetters.name,
    sinceSeq: 1,
  });
  await waitFor(() => letters.length >= count, { what: `${count} dead letters` });
  await stop();
  return letters;
}

describe('one message at a time', () => {
  it('acknowledges what the handler resolves, under the actor and trace of the message', async () => {
    const { stream, consumer } = await made();
    const seen: [number, string | undefined, string | undefined, string][] = [];
    await consume({ spec: consumer }, (payload) => {
      const delivery = single(payload);
      const context = requestContext.getStore();
      const traceId = traceIdOf(context?.traceparent ?? '');
      seen.push([numberOf(delivery), context?.actor, traceId, delivery.subject]);
    });
    const traceparent = `00-${'c'.repeat(32)}-${'d'.repeat(16)}-01`;
    await publish(stream, [{ n: 1 }], { 'ce-actor': 'user:eve', traceparent });
    await settled(consumer);
    expect(seen).toEqual([[1, 'user:eve', 'c'.repeat(32), `${stream.name}.x`]]);
  });

  it('runs no more than `concurrency` at a time and loses none', async () => {
    const { stream, consumer } = await made({ unsettled_max: 10 });
    let running = 0;
    let most = 0;
    const seen = new Set<number>();
    await publish(stream, numbered(60));
    await consume({ spec: consumer, concurrency: 3 }, async (payload) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      seen.add(numberOf(single(payload)));
      running--;
    });
    await settled(consumer);
    expect(seen.size).toBe(60);
    expect(most).toBe(3);
  });

  it('delivers a failed message again, later each time, until it succeeds', async () => {
    const { stream, consumer } = await made();
    const deliveries: number[] = [];
    await consume({ spec: consumer }, (payload) => {
      deliveries.push(single(payload).deliveries);
      if (deliveries.length < 4) throw new Error('not yet');
    });
    await publish(stream, [{ n: 1 }]);
    await settled(consumer);
    expect(deliveries).toEqual([1, 2, 3, 4]);
  });

  it('stores poison as a dead letter at once and goes on', async () => {
    const { stream, consumer } = await made();
    const handled: number[] = [];
    await consume({ spec: consumer, concurrency: 1 }, (payload) => {
      const n = numberOf(single(payload));
      if (n === 0) throw new Poison('no such\nthing');
      handled.push(n);
    });
    await publish(stream, numbered(3), { 'ce-type': 'kept' });
    await settled(consumer);
    expect(handled).toEqual([1, 2]);
    const [letter] = await deadLettersOf(consumer, 1);
    expect(Buffer.from(letter?.bytes ?? []).toString('utf8')).toBe('{"n":0}');
    expect(letter?.headers).toMatchObject({
      'ce-type': 'kept',
      [deadLetterHeaders.reason]: 'no such thing',
      [deadLetterHeaders.subject]: `${stream.name}.x`,
      [deadLetterHeaders.stream]: stream.name,
      [deadLetterHeaders.seq]: '1',
      [deadLetterHeaders.deliveries]: '1',
    });
  });

  it('stores what fails `deliveries_max` times as a dead letter', async () => {
    const { stream, consumer } = await made({ deliveries_max: 3 });
    let times = 0;
    await consume({ spec: consumer }, () => {
      times++;
      throw new Error('password=hunter2');
    });
    await publish(stream, [{ n: 1 }]);
    await settled(consumer);
    expect(times).toBe(3);
    const [letter] = await deadLettersOf(consumer, 1);
    expect(letter?.headers[deadLetterHeaders.deliveries]).toBe('3');
    expect(letter?.headers[deadLetterHeaders.reason]).toMatch(/^failed 3 times/);
    expect(JSON.stringify(letter?.headers)).not.toContain('hunter2');
  });

  it.each([
    ['is no JSON', '{"n":'],
    ['is too large', JSON.stringify('x'.repeat(limits.message_bytes_max))],
  ])('does not show the handler a body that %s', async (_what, body) => {
    const { stream, consumer } = await made();
    let calls = 0;
    await consume({ spec: consumer }, () => {
      calls++;
    });
    await publish(stream, [body]);
    await settled(consumer);
    expect(calls).toBe(0);
    expect(await deadLettersOf(consumer, 1)).toHaveLength(1);
  });

  it('gives up a message that was delivered more often than it can have failed', async () => {
    const { stream, consumer } = await made({ deliveries_max: 1, ack_wait_ms: 1000 });
    await publish(stream, [{ n: 1 }]);
    // A process that dies with the message in hand: takes it and never settles it.
    const { js } = messaging.internals();
    const taken = await (await js.consumers.get(stream.name, consumer.durable)).next({ expires: 5000 });
    expect(taken?.info.deliveryCount).toBe(1);
    let calls = 0;
    await consume({ spec: consumer }, () => {
      calls++;
    });
    const [letter] = await deadLettersOf(consumer, 1);
    expect(letter?.headers[deadLetterHeaders.reason]).toMatch(/without being settled/);
    expect(calls).toBe(0);
    await settled(consumer);
  });

  it('keeps a message that takes long from being delivered twice', async () => {
    // Longer than a busy machine holds this process up.
    const { stream, consumer } = await made({ ack_wait_ms: 4000 });
    const release = signal();
    const deliveries: number[] = [];
    await consume({ spec: consumer }, async (payload) => {
      deliveries.push(single(payload).deliveries);
      await release.promise;
    });
    await publish(stream, [{ n: 1 }]);
    await waitFor(() => deliveries.length === 1, { what: 'the delivery' });
    // Its time would have been over.
    await messaging.clock.sleep(5000);
    expect(deliveries).toEqual([1]);
    release.resolve();
    await settled(consumer);
  });

  it('goes to the dead letters when the handler rejects it', async () => {
    const { stream, consumer } = await made();
    await consume({ spec: consumer }, (payload) => single(payload).reject('signature does not verify'));
    await publish(stream, [{ n: 1 }]);
    await settled(consumer);
    const [letter] = await deadLettersOf(consumer, 1);
    expect(letter?.headers[deadLetterHeaders.reason]).toBe('signature does not verify');
  });
});

describe('batches', () => {
  const options = { batch: { max: 10, waitMs: 20 } };

  it('hands one out again later when the handler says so, and not its neighbours', async () => {
    const { stream, consumer } = await made();
    const seen: string[] = [];
    await consume({ spec: consumer, ...options }, (payload) => {
      for (const delivery of batch(payload)) {
        seen.push(`${numberOf(delivery)}/${delivery.deliveries}`);
        if (numberOf(delivery) === 2 && delivery.deliveries < 4) delivery.later(5);
      }
    });
    await publish(stream, numbered(4));
    await settled(consumer);
    expect(seen.sort()).toEqual(['0/1', '1/1', '2/1', '2/2', '2/3', '2/4', '3/1']);
  });

  it('hands out bodies unread where that is asked for, whatever they are', async () => {
    const { stream, consumer } = await made();
    const seen: [unknown, string][] = [];
    await consume({ spec: consumer, raw: true, ...options }, (payload) => {
      for (const { body, bytes } of batch(payload)) seen.push([body, Buffer.from(bytes).toString('utf8')]);
    });
    await publish(stream, ['{"n":1}', 'no JSON']);
    await settled(consumer);
    expect(seen).toEqual([
      [undefined, '{"n":1}'],
      [undefined, 'no JSON'],
    ]);
  });

  it('goes on behind a message with headers that no library sends', async () => {
    const { stream, consumer } = await made();
    await publishRaw(nats.url, `${stream.name}.x`, 'no: such\r\na name: with a blank\r\n', '{"n":1}');
    await publish(stream, [{ n: 2 }]);
    const seen: [number, number][] = [];
    await consume({ spec: consumer, ...options }, (payload) => {
      for (const delivery of batch(payload)) {
        seen.push([numberOf(delivery), delivery.deliveries]);
        if (delivery.headers['a name'] !== undefined) delivery.reject('not one of ours');
      }
    });
    await settled(consumer);
    expect(seen).toEqual([
      [1, 1],
      [2, 1],
    ]);
    const [letter] = await deadLettersOf(consumer, 1);
    expect(Buffer.from(letter?.bytes ?? []).toString('utf8')).toBe('{"n":1}');
  });

  it('hands out at most `max` at a time, in order, and acknowledges them together', async () => {
    const { stream, consumer } = await made();
    await publish(stream, numbered(25));
    const sizes: number[] = [];
    const seen: number[] = [];
    await consume({ spec: consumer, ...options }, (payload) => {
      sizes.push(batch(payload).length);
      seen.push(...batch(payload).map(numberOf));
    });
    await settled(consumer);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(10);
    expect(sizes.length).toBeLessThan(25);
    expect(seen).toEqual(numbered(25).map((_, n) => n));
  });

  it('stores the rejected ones as dead letters and acknowledges the others', async () => {
    const { stream, consumer } = await made();
    await publish(stream, [{ n: 0 }, '{bad json', { n: 2 }, { n: 3 }]);
    const seen: number[] = [];
    await consume({ spec: consumer, ...options }, (payload) => {
      for (const delivery of batch(payload)) {
        seen.push(numberOf(delivery));
        if (numberOf(delivery) === 2) delivery.reject('schema');
      }
    });
    await settled(consumer);
    expect(seen).toEqual([0, 2, 3]);
    const letters = await deadLettersOf(consumer, 2);
    expect(letters.map(({ headers }) => headers[deadLetterHeaders.seq]).sort()).toEqual(['2', '3']);
  });

  it('delivers all again when the handler throws, and gives none up for it', async () => {
    const { stream, consumer } = await made({ deliveries_max: 2 });
    await publish(stream, numbered(3));
    let away = true;
    let failures = 0;
    const seen = new Set<number>();
    await consume({ spec: consumer, ...options }, (payload) => {
      if (away) {
        failures++;
        throw new Error('database is away');
      }
      for (const delivery of batch(payload)) seen.add(numberOf(delivery));
    });
    await waitFor(() => failures > 20, { what: 'many more failures than deliveries_max' });
    away = false;
    await settled(consumer);
    expect([...seen].sort()).toEqual([0, 1, 2]);
  });

  it('finds the one message that fails while others do not, and gives it up', async () => {
    const { stream, consumer } = await made({ deliveries_max: 8 });
    await publish(stream, numbered(4));
    const seen = new Set<number>();
    await consume({ spec: consumer, ...options }, (payload) => {
      const numbers = batch(payload).map(numberOf);
      if (numbers.includes(2)) throw new Error('cannot be stored');
      for (const n of numbers) seen.add(n);
    });
    // Others go through between its failures.
    const found = new AbortController();
    const others = (async () => {
      for (let n = 100; !found.signal.aborted; n++) await publish(stream, [{ n }]);
    })();
    const [letter] = await deadLettersOf(consumer, 1).finally(() => found.abort());
    await others;
    expect(Buffer.from(letter?.bytes ?? []).toString('utf8')).toBe('{"n":2}');
    expect([0, 1, 3].every((n) => seen.has(n))).toBe(true);
    await settled(consumer);
  });
});

describe('life and death', () => {
  it('finishes what it handles at a shutdown, gives back the rest at once, and nothing is lost or done twice', async () => {
    const { stream, consumer } = await made();
    const release = signal();
    const done: number[] = [];
    await publish(stream, numbered(20));
    const app = await consume({ spec: consumer, concurrency: 2 }, async (payload) => {
      await release.promise;
      done.push(numberOf(single(payload)));
    });
    await waitFor(async () => (await left(consumer)).unsettled > 2, { what: 'messages to be handed out' });
    const closed = app.close();
    apps.pop();
    release.resolve();
    await closed;
    expect(done).toEqual([0, 1]);
    // The next process gets the rest although `ack_wait` has not passed.
    await consume({ spec: consumer }, (payload) => void done.push(numberOf(single(payload))));
    await settled(consumer);
    expect([...done].sort((a, b) => a - b)).toEqual(numbered(20).map((_, n) => n));
  });

  it('gives back what is on its way at a shutdown', async () => {
    // Nothing comes again by itself while this test runs.
    const { stream, consumer } = await made({ ack_wait_ms: 600_000, deliveries_max: 1000 });
    const count = 3000;
    const done = new Set<number>();
    const handle: Handle = (payload) => void done.add(numberOf(single(payload)));
    const published = messaging.publishDurableAll(
      numbered(count).map((body) => ({
        subject: `${stream.name}.x`,
        messageId: uniqueName('m'),
        body: JSON.stringify(body),
        headers: {},
      })),
      { window: 64 },
    );
    const client = await connected(nats);
    for (let round = 1; round <= 10; round++) {
      const app = await consume({ spec: consumer }, handle, client);
      await waitFor(() => done.size > (round * count) / 15, { what: 'a part of the messages' });
      await app.close();
      apps.pop();
    }
    expect((await published).every(({ ok }) => ok)).toBe(true);
    await consume({ spec: consumer }, handle);
    await settled(consumer);
    expect(done.size).toBe(count);
    await client.drain();
  });

  it('does not wait for ever at a shutdown; what was not finished comes again', async () => {
    const { stream, consumer } = await made({ ack_wait_ms: 4000 });
    const release = signal();
    const deliveries: number[] = [];
    await publish(stream, [{ n: 1 }]);
    const app = await consume(
      { spec: consumer },
      async () => {
        deliveries.push(1);
        await release.promise;
        throw new Error('gone');
      },
      messaging,
      30,
    );
    await waitFor(() => deliveries.length === 1, { what: 'the delivery' });
    await app.close();
    apps.pop();
    await consume({ spec: consumer }, (payload) => void deliveries.push(single(payload).deliveries));
    await waitFor(() => deliveries.length === 2, { what: 'the second delivery' });
    expect(deliveries).toEqual([1, 2]);
    release.resolve();
    await settled(consumer);
  });

  it('has messages delivered to another when a process dies with them', async () => {
    const { stream, consumer } = await made({ ack_wait_ms: 4000 });
    const dying = await connected(nats);
    await publish(stream, numbered(3));
    const never = signal();
    const taken: number[] = [];
    const dead = await consume(
      { spec: consumer },
      async (payload) => {
        taken.push(numberOf(single(payload)));
        await never.promise;
      },
      dying,
      1,
    );
    await waitFor(() => taken.length === 3, { what: 'all to be taken' });
    await dying.internals().connection.close();
    const seen: [number, number][] = [];
    await consume({ spec: consumer }, (payload) => {
      seen.push([numberOf(single(payload)), single(payload).deliveries]);
    });
    await settled(consumer);
    expect(seen.map(([n]) => n).sort()).toEqual([0, 1, 2]);
    expect(seen.every(([, deliveries]) => deliveries === 2)).toBe(true);
    await dead.close();
    apps.splice(apps.indexOf(dead), 1);
    never.resolve();
  });

  it('waits for a consumer that does not exist yet', async () => {
    const { stream, consumer } = await made();
    const later: ConsumerSpec = { ...consumer, durable: uniqueName('later'), filter: `${stream.name}.later` };
    const seen: number[] = [];
    // A work queue has one consumer for each subject.
    await (await messaging.manager()).consumers.delete(stream.name, consumer.durable);
    await consume({ spec: later }, (payload) => void seen.push(numberOf(single(payload))));
    await waitFor(() => log.text().includes('consumer cannot be pulled yet'), { what: 'the notice' });
    await provision(messaging, { consumers: [later] });
    await messaging.publishDurable({
      subject: `${stream.name}.later`,
      messageId: uniqueName('m'),
      body: '{"n":5}',
      headers: {},
    });
    await waitFor(() => seen.length === 1, { what: 'the message' });
    expect(seen).toEqual([5]);
  });

  it('goes on after the server of NATS was killed and came back', async () => {
    const own = await startNats();
    const client = await connected(own, { logger: log.logger });
    try {
      const name = uniqueName('s');
      const stream: StreamSpec = { ...streams.commands, name, subjects: [`${name}.>`] };
      const spec: ConsumerSpec = {
        stream: name,
        durable: 'd',
        filter: `${name}.>`,
        ack_wait_ms: 1000,
        deliveries_max: 5,
        unsettled_max: 10,
      };
      await provision(client, { streams: [stream], consumers: [spec] });
      const seen: number[] = [];
      const app = await consume({ spec }, (payload) => void seen.push(numberOf(single(payload))), client);
      const send = async (n: number) =>
        client.publishDurable({
          subject: `${name}.x`,
          messageId: `m${n}`,
          body: JSON.stringify({ n }),
          headers: {},
        });
      await send(1);
      await waitFor(() => seen.includes(1), { what: 'the first message' });
      await own.kill();
      await waitFor(() => !client.isConnected(), { what: 'the loss to be noticed' });
      await expect(
        client.publishDurable(
          { subject: `${name}.x`, messageId: 'm2', body: '{}', headers: {} },
          { timeoutMs: 200 },
        ),
      ).rejects.toMatchObject({ code: 'unavailable' });
      await own.restart();
      await waitFor(() => client.isConnected(), { what: 'the connection' });
      await send(3);
      await waitFor(() => seen.includes(3), { timeoutMs: 40_000, what: 'the message after the restart' });
      await app.close();
      apps.pop();
    } finally {
      await client.drain();
      await own.stop();
    }
  });

  it('does not start with a consumer nobody handles, or a handler without consumer', async () => {
    const { consumer } = await made();
    const unhandled = new JetStreamServer(messaging, { consumers: [{ spec: consumer }] });
    await expect(serve([], unhandled)).rejects.toThrow(/Nothing handles/);
    const extra = new JetStreamServer(messaging, { consumers: [] });
    await expect(serve([controllerOf(() => undefined)], extra)).rejects.toThrow(/has no consumer/);
  });
});
