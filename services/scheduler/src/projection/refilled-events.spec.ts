import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  eventHeaders,
  newId,
  streams,
  subjects,
  WatermarkRequest,
  type AllocationEventData,
  type EventAttributes,
} from '#libs/contracts';
import {
  decodeEvent,
  parseBody,
  provision,
  RequestReplyServer,
  SignedReply,
  verifySignature,
  type OutgoingMessage,
  type RequestContext,
} from '#libs/messaging';
import { SystemClock } from '#libs/clock';
import {
  startNats,
  startPostgres,
  waitFor,
  WatermarkLedger,
  type TestNats,
  type TestPostgres,
} from '#libs/testing';
import { asDelivery, SignedHost } from '../heartbeats/signed-host.harness.js';
import { PreparationProjectionService } from '../moves/preparation-projection.service.js';
import { migratedDatabase, RuntimeHarness } from '../runtime.harness.js';
import { AllocationProjectionService } from './allocation-projection.service.js';

const patience = { timeoutMs: 60_000 };

let nats: TestNats;
let postgres: TestPostgres;
let runtime: RuntimeHarness;

beforeAll(async () => {
  [nats, postgres] = await Promise.all([startNats(), startPostgres()]);
});
afterAll(async () => {
  await nats.stop();
  await postgres.stop();
});
beforeEach(async () => {
  runtime = await RuntimeHarness.start({
    databaseUrl: await migratedDatabase(postgres),
    nats,
    clock: new SystemClock(),
  });
});
afterEach(async () => {
  await runtime.stop();
});

describe('events of the scheduler', () => {
  const ledger = new WatermarkLedger();
  let seen: { attributes: EventAttributes; messageId: string }[] = [];
  let stopTail: () => Promise<void>;
  let server: RequestReplyServer | null = null;

  afterEach(async () => {
    await runtime.relay.stop();
    await server?.close();
    await stopTail();
  });

  const read = async () => {
    seen = [];
    stopTail = await runtime.messaging.tail(subjects.eventsAll(), (message) => {
      const { attributes } = decodeEvent({ ...message, body: parseBody(message.bytes) });
      seen.push({ attributes, messageId: message.headers[eventHeaders.messageId] ?? '' });
      ledger.record(attributes);
    });
  };
  const answer = async () => {
    const serving = new RequestReplyServer(runtime.messaging, {
      ...{ queue: 'audit', replySigner: runtime.signingKey },
    });
    const subject = subjects.internal('audit', 'watermark');
    const extras = {
      ...{ kind: 'request', name: subject, api: null },
      ...{ schema: WatermarkRequest, pool: 'internal' },
    };
    const handler = async (request: WatermarkRequest, { rawBody, headers }: RequestContext) => {
      await verifySignature(rawBody, headers['tradefleet-signature'], runtime.signingKey.publicJwk);
      return new SignedReply(ledger.answer(request));
    };
    serving.addHandler(subject, handler, false, extras);
    await new Promise<void>((resolve) => serving.listen(() => resolve()));
    server = serving;
  };

  it('come again, every one that is kept, when the stream was lost before they were recorded', async () => {
    await read();
    const host = await SignedHost.create();
    await runtime.register(host);
    await runtime.bots(20);
    await runtime.pass();
    runtime.relay.start();
    await waitFor(async () => (await runtime.relay.backlog()) === 0, patience);
    const events = (await runtime.outbox()).filter(({ event }) => event !== null).length;
    expect(events).toBeGreaterThan(20);
    await waitFor(() => seen.length === events, patience);
    // Nobody answers yet: all of it is kept, and asking costs nothing else.
    expect(await runtime.relay.unconfirmed()).toBe(events);
    const before = seen;
    await stopTail();
    for (const { attributes } of before.slice(5)) ledger.forget(attributes.incarnation, attributes.sequence);
    await (await runtime.messaging.manager()).streams.delete(streams.events.name);
    await provision(runtime.messaging, { streams: [streams.events] });
    await read();
    await answer();
    await waitFor(async () => (await runtime.relay.unconfirmed()) === 0, { timeoutMs: 90_000 });
    await waitFor(() => seen.length === events - 5, patience);
    expect(seen).toEqual(
      before.slice(5).map(({ attributes, messageId }) => ({ attributes, messageId: `${messageId}.1` })),
    );
    expect((await runtime.outbox()).filter(({ event }) => event !== null)).toEqual([]);
  });
});

describe('events of agents that come again under another message id', () => {
  const rejections: string[] = [];
  const again = (message: OutgoingMessage): OutgoingMessage => ({
    ...message,
    messageId: `${message.messageId}.1`,
    headers: { ...message.headers, [eventHeaders.messageId]: `${message.messageId}.1` },
  });

  it('change nothing of an allocation that has gone on, failed or been tried anew', async () => {
    const host = await SignedHost.create();
    await runtime.register(host);
    const bot = await runtime.bot();
    await runtime.pass();
    const { id, account, epoch } = await runtime.allocation(bot.name);
    const data = (state: AllocationEventData['state'], over: Partial<AllocationEventData> = {}) => ({
      ...{ allocation: id, tenant: bot.tenant, bot: bot.name, account, host: host.name, epoch, state },
      ...{ stage: null, attempt: 1, reason: null, detail: null, exitCode: null },
      ...over,
    });
    const project = async (messages: OutgoingMessage[]) =>
      await runtime.app
        .get(AllocationProjectionService)
        .project(messages.map((message) => asDelivery(message, rejections)));
    const life = [
      await host.event('tradefleet.allocation.accepted', data('accepted')),
      await host.event('tradefleet.allocation.running', data('running', { stage: 'trade-allowed' })),
      await host.event('tradefleet.allocation.restarting', {
        ...data('running', { attempt: 2, reason: 'exited', detail: 'a defect', exitCode: 70 }),
        ...{ delayMs: 1000 },
      }),
      await host.event('tradefleet.allocation.running', data('running', { attempt: 2, stage: 'login' })),
    ];
    const state = async () =>
      await runtime.query(
        `SELECT a.state, a.stage, a.attempt, a.last_exit, a.running_at, a.ended_at, a.reason, b.failures, b.retry_at
         FROM scheduler.allocations a JOIN scheduler.bots b ON b.name = a.bot`,
      );
    await project(life);
    const alive = await state();
    expect(alive).toMatchObject([{ state: 'running', attempt: 2, stage: 'login', failures: 0 }]);
    await project(life.map(again));
    expect(await state()).toEqual(alive);

    const failed = await host.event('tradefleet.allocation.failed', data('failed', { reason: 'exited' }));
    await project([failed]);
    const ended = await state();
    expect(ended).toMatchObject([{ state: 'failed', failures: 1 }]);
    const told = (await runtime.outbox()).length;
    await project([...life, failed].map(again).toReversed());
    expect(await state()).toEqual(ended);
    // Nothing is said twice of it, and nobody is accused.
    expect((await runtime.outbox()).length).toBe(told);
    expect(rejections).toEqual([]);
  });

  it('change nothing of a move that is over or does not exist any more', async () => {
    const host = await SignedHost.create();
    await runtime.register(host);
    const said = await host.preparation('tradefleet.move.prepared', {
      ...{ move: newId(), host: host.name, account: 'none', code: null, detail: null, tookMs: 1 },
    });
    const told = (await runtime.outbox()).length;
    const projection = runtime.app.get(PreparationProjectionService);
    await projection.project([said, again(said)].map((message) => asDelivery(message, rejections)));
    expect((await runtime.outbox()).length).toBe(told);
    expect(rejections).toEqual([]);
  });
});
