import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import { Controller, type INestMicroservice, type Type } from '@nestjs/common';
import type { NatsConnection } from '@nats-io/transport-node';
import { z } from 'zod';
import { subjects } from '#libs/contracts';
import { startNats, waitFor, type TestNats } from '#libs/testing';
import type { Messaging } from '../messaging.js';
import { connected, recordingLogger, serve } from '../testing/fleet.fixture.js';
import { Request } from './request.decorator.js';
import { RequestReplyServer } from './request-reply.server.js';

/** Several servers that all get every request, of which one at a time may answer. */
const subject = subjects.internal('test', 'who');
let nats: TestNats;
let raw: NatsConnection;
const log = recordingLogger();
const connections: Messaging[] = [];
const apps: INestMicroservice[] = [];

beforeAll(async () => {
  nats = await startNats();
  raw = await nats.connect();
});
afterEach(async () => {
  for (const app of apps.splice(0)) await app.close();
  for (const connection of connections.splice(0)) await connection.drain();
});
afterAll(async () => {
  await raw.close();
  await nats.stop();
});

/** A server on a connection of its own. */
async function server(name: string) {
  const state = { name, may: false, asked: 0, hold: Promise.resolve() };
  @Controller()
  class Who {
    @Request(subject, z.strictObject({}))
    async who(): Promise<{ name: string }> {
      state.asked += 1;
      await state.hold;
      return { name };
    }
  }
  const messaging = await connected(nats, { logger: log.logger });
  connections.push(messaging);
  const strategy = new RequestReplyServer(messaging, { mayAnswer: () => state.may });
  apps.push(await serve([Who as Type<unknown>], strategy, log.logger));
  return state;
}
const ask = async (): Promise<string> =>
  (await raw.request(subject, '{}', { timeout: 5000 })).json<{ result: { name: string } }>().result.name;

it('answers by the one that may, whichever that is', async () => {
  const [a, b] = [await server('a'), await server('b')];
  a.may = true;
  for (let n = 0; n < 10; n += 1) expect(await ask()).toBe('a');
  a.may = false;
  b.may = true;
  for (let n = 0; n < 10; n += 1) expect(await ask()).toBe('b');
  expect([a.asked, b.asked]).toEqual([10, 10]);
});

it('sends no answer of one that may no more, although it had begun to work on it', async () => {
  const [a, b] = [await server('a'), await server('b')];
  let go = (): void => undefined;
  a.hold = new Promise((resolve) => (go = resolve));
  a.may = true;
  const answer = ask();
  await waitFor(() => a.asked === 1, { what: 'the request to be worked on' });
  a.may = false;
  go();
  await waitFor(() => log.lines.some((line) => JSON.stringify(line).includes('answer withheld')), {
    what: 'the answer to be withheld',
  });
  const unanswered = await Promise.race([answer, raw.flush().then(() => 'nothing')]);
  expect(unanswered).toBe('nothing');
  b.may = true;
  expect(await ask()).toBe('b');
  await expect(answer).rejects.toThrow();
});
