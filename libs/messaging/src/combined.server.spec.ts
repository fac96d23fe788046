import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Controller } from '@nestjs/common';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { z } from 'zod';
import { streams, subjects, type ConsumerSpec, type StreamSpec } from '#libs/contracts';
import { startNats, uniqueName, waitFor, type TestNats } from '#libs/testing';
import { CombinedServer } from './combined.server.js';
import { Consume } from './jetstream/consume.decorator.js';
import type { Delivery } from './jetstream/delivery.js';
import { JetStreamServer } from './jetstream/jetstream.server.js';
import type { Messaging } from './messaging.js';
import { provision } from './provision.js';
import { Request } from './request-reply/request.decorator.js';
import { RequestReplyServer } from './request-reply/request-reply.server.js';
import { connected, serve } from './testing/fleet.fixture.js';

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

const seen: unknown[] = [];

@Controller()
class Both {
  @Request(subjects.internal('both', 'ask'), z.strictObject({}))
  ask(): string {
    return 'answered';
  }

  @Consume('both')
  consume(@Payload() { body }: Delivery): void {
    seen.push(body);
  }
}

it('serves requests and streams in one process without HTTP', async () => {
  const name = uniqueName('s');
  const stream: StreamSpec = { ...streams.commands, name, subjects: [`${name}.>`] };
  const spec: ConsumerSpec = {
    stream: name,
    durable: 'd',
    filter: `${name}.>`,
    ack_wait_ms: 5000,
    deliveries_max: 3,
    unsettled_max: 10,
  };
  await provision(messaging, { streams: [stream], consumers: [spec] });
  const strategy = new CombinedServer([
    new RequestReplyServer(messaging, { queue: 'both' }),
    new JetStreamServer(messaging, { consumers: [{ spec, name: 'both' }] }),
  ]);
  const app = await serve([Both], strategy);
  expect(await messaging.request(subjects.internal('both', 'ask'), {})).toBe('answered');
  await messaging.publishDurable({ subject: `${name}.x`, messageId: 'm', body: '{"n":1}', headers: {} });
  await waitFor(() => seen.length === 1, { what: 'the message' });
  expect(seen).toEqual([{ n: 1 }]);
  await app.close();
  await expect(messaging.request(subjects.internal('both', 'ask'), {})).rejects.toMatchObject({
    code: 'unavailable',
  });
});

it('refuses handlers it cannot serve', async () => {
  const onlyRequests = new CombinedServer([new RequestReplyServer(messaging, { queue: 'both' })]);
  await expect(serve([Both], onlyRequests)).rejects.toThrow(/No server of this process serves both/);
  @Controller()
  class Plain {
    @MessagePattern('plain')
    plain(): string {
      return 'unchecked';
    }
  }
  const plain = new CombinedServer([new RequestReplyServer(messaging, { queue: 'both' })]);
  await expect(serve([Plain], plain)).rejects.toThrow(/Handle plain with @Api or @Request/);
});
