import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { streams, type ConsumerSpec, type StreamSpec } from '#libs/contracts';
import { startNats, uniqueName, waitFor, type TestNats } from '#libs/testing';
import type { Messaging } from '../messaging.js';
import { provision } from '../provision.js';
import { connected } from '../testing/fleet.fixture.js';
import { Puller } from './puller.js';

describe('Puller', () => {
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

  it('still receives what is on its way when it is paused', async () => {
    const name = uniqueName('s');
    const stream: StreamSpec = { ...streams.commands, name, subjects: [`${name}.>`] };
    const spec: ConsumerSpec = {
      stream: name,
      durable: 'd',
      filter: `${name}.>`,
      // Nothing comes again by itself while this test runs.
      ack_wait_ms: 600_000,
      deliveries_max: 5,
      unsettled_max: 1000,
    };
    await provision(messaging, { streams: [stream], consumers: [spec] });
    const count = 3000;
    const received: number[] = [];
    const puller = new Puller(messaging, spec, 200, (message) => {
      received.push(message.seq);
      message.ack();
      // Often, and again while the end of the pull before is under way.
      if (received.length % 150 === 0) {
        puller.pause();
        setImmediate(() => puller.unpause());
      }
    });
    const running = puller.run();
    const messages = Array.from({ length: count }, (_, n) => ({
      subject: `${name}.x${n}`,
      messageId: `m${n}`,
      body: '{}',
      headers: {},
    }));
    const outcomes = await messaging.publishDurableAll(messages, { window: 64 });
    expect(outcomes.every(({ ok }) => ok)).toBe(true);
    await waitFor(() => received.length >= count, { what: 'all messages' });
    await puller.stop();
    await running;
    // Each once.
    expect(received.toSorted((a, b) => a - b)).toEqual(messages.map((_, n) => n + 1));
  });
});
