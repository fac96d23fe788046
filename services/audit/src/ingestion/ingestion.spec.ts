import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { jetstream } from '@nats-io/jetstream';
import { headers as natsHeaders } from '@nats-io/transport-node';
import { Test } from '@nestjs/testing';
import { consumers, subjects } from '#libs/contracts';
import {
  connectMessaging,
  JetStreamServer,
  RequestReplyServer,
  CombinedServer,
  SigningKey,
  type OutgoingMessage,
} from '#libs/messaging';
import { EmbeddedPostgres, startPostgres, waitFor, type TestPostgres } from '#libs/testing';
import { AuditModule } from '../audit.module.js';
import { prepareDatabase } from '../database/prepare-database.js';
import type { AuditHealth } from '../health/health.controller.js';
import { LogKey } from '../log/log-key.js';
import { AuditFixture, impatientConsumer } from '../testing/audit.fixture.js';
import { Committer, type Batch, type Committed } from './committer.js';
import { LogRepository } from './log.repository.js';

const patience = { timeoutMs: 30_000 };

describe('ingestion', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;

  beforeAll(async () => (postgres = await startPostgres()));
  afterAll(async () => await postgres.stop());
  beforeEach(async () => (fixture = await AuditFixture.create(await postgres.createDatabase())));
  afterEach(async () => await fixture.stop());

  const health = async () =>
    await fixture.messaging.request<AuditHealth>(subjects.internal('audit', 'health'), {});
  const untilSettled = async () =>
    await waitFor(async () => (await fixture.unsettled()) === 0, {
      ...patience,
      what: 'the stream to be consumed',
    });

  it('records every attribute of an event, and its body byte by byte', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const event = fixture.event(
      { traceparent },
      { detail: 'a "quoted" \\ detail, ünïcode \u{1f600} \ud800' },
    );
    const message = await fixture.signed(event);
    await fixture.messaging.publishDurable(message);
    await fixture.start();
    await untilSettled();
    const [row] = await fixture.query<Record<string, unknown>>(
      'SELECT *, data::text AS body FROM audit.events',
    );
    expect(row).toMatchObject({
      id: event.id,
      source: '/scheduler',
      incarnation: event.incarnation,
      sequence: String(event.sequence),
      type: event.type,
      entity: 'allocation',
      entity_id: event.subjectId,
      severity: 'info',
      actor: 'host:spec',
      time: new Date(event.time),
      traceparent,
      trace_id: '0af7651916cd43dd8448eb211c80319c',
      signature: message.headers['tradefleet-signature'],
      position: '0',
      retention: 'trading',
      subject_id: null,
      details: expect.stringContaining('quoted'),
      body: Buffer.from(message.body).toString('utf8'),
    });
  });

  it('records each event once: repeated in a batch, over batches, and out of order', async () => {
    const events = Array.from({ length: 300 }, () => fixture.event());
    const mixed = [...events, ...events.slice(0, 100), ...events.slice(50, 150)].toReversed();
    await fixture.publish(...mixed);
    await fixture.start({ batchEventsMax: 64 });
    await untilSettled();
    expect(await fixture.recordedIds()).toEqual(events.map((event) => event.id).sort());
    expect(await health()).toMatchObject({ status: 'ok', ingested: 300, known: 200, quarantined: 0, lag: 0 });
  });

  it('records each event once with two services at work', async () => {
    const events = Array.from({ length: 500 }, () => fixture.event());
    await Promise.all([fixture.start({ batchEventsMax: 20 }), fixture.start({ batchEventsMax: 20 })]);
    await Promise.all([fixture.publish(...events), fixture.publish(...events)]);
    await waitFor(async () => (await fixture.recordedIds()).length === 500, patience);
    await untilSettled();
    expect(await fixture.recordedIds()).toEqual(events.map((event) => event.id).sort());
  });

  it('records once what a service had committed and not acknowledged when it died', async () => {
    const events = Array.from({ length: 40 }, () => fixture.event());
    await fixture.publish(...events);
    const dying = await startDying(fixture);
    await waitFor(async () => (await fixture.recordedIds()).length > 0, patience);
    await dying.cutOff();
    expect(await fixture.unsettled()).toBe(40);
    await fixture.start();
    await untilSettled();
    expect(await fixture.recordedIds()).toEqual(events.map((event) => event.id).sort());
    expect((await health()).known).toBeGreaterThan(0);
    await dying.close();
  });

  it('acknowledges what it recorded before it stops, so that nothing comes again', async () => {
    await fixture.publish(...Array.from({ length: 200 }, () => fixture.event()));
    const audit = await fixture.start({ batchEventsMax: 10 });
    await waitFor(async () => (await fixture.recordedIds()).length > 0, patience);
    await audit.stop();
    const recorded = (await fixture.recordedIds()).length;
    expect(await fixture.unsettled()).toBe(200 - recorded);
    await fixture.start();
    await untilSettled();
    expect(await health()).toMatchObject({ ingested: 200 - recorded, known: 0 });
  });

  it('puts aside what is no event, with the reason, and records its neighbours', async () => {
    const good = [fixture.event(), fixture.event()];
    const [one, other, third] = [fixture.event(), fixture.event(), fixture.event()];
    const bad = [
      { ...(await fixture.signed(one)), subject: 'fleet.v1.evt.allocation.elsewhere.placed' },
      await fixture.resigned({ ...(await fixture.signed(other)), body: '{"allocation":"x"}' }),
      // Our parser takes the byte order mark, Postgres does not.
      await fixture.resigned(withMark(await fixture.signed(third))),
    ];
    await fixture.publish(...good.slice(0, 1));
    for (const message of bad) await fixture.messaging.publishDurable(message);
    await fixture.publish(...good.slice(1));
    await fixture.start();
    await untilSettled();
    expect(await fixture.recordedIds()).toEqual(good.map((event) => event.id).sort());
    const aside = await fixture.query<{ reason: string; subject: string; body: Buffer }>(
      'SELECT reason, subject, body FROM audit.quarantine ORDER BY stream_seq',
    );
    expect(aside.map((row) => row.reason)).toEqual([
      expect.stringContaining('does not belong on'),
      expect.stringContaining('does not fit'),
      expect.stringContaining('the database refuses it'),
    ]);
    expect(aside.map((row) => row.subject)).toEqual(bad.map((message) => message.subject));
    expect(aside[1]?.body.toString('utf8')).toBe('{"allocation":"x"}');
    expect(await health()).toMatchObject({ quarantined: 3 });
    // What the service itself tells of them comes by the stream as well.
    await waitFor(async () => (await health()).lag === 0, { ...patience, what: 'its own events' });
  });

  it('keeps one copy of a message put aside, however often it comes', async () => {
    const { subject, headers } = await fixture.signed(fixture.event());
    // Without a message id the stream takes the very same message as often as it is sent.
    const client = await fixture.client();
    const sent = natsHeaders();
    for (const [name, value] of Object.entries(headers)) sent.set(name, value);
    for (let time = 0; time < 3; time += 1) await jetstream(client).publish(subject, '{}', { headers: sent });
    await jetstream(client).publish(subject, '{"other":1}', { headers: sent });
    await client.close();
    await fixture.start({ batchEventsMax: 2 });
    await untilSettled();
    const aside = await fixture.query<{ body: string }>(
      "SELECT convert_from(body, 'UTF8') AS body FROM audit.quarantine ORDER BY stream_seq",
    );
    expect(aside).toEqual([{ body: '{}' }, { body: '{"other":1}' }]);
  });

  it('goes on by itself after NATS was away', async () => {
    await fixture.start();
    const first = fixture.event();
    await fixture.publish(first);
    await untilSettled();
    await fixture.nats.kill();
    await fixture.nats.restart();
    await waitFor(() => fixture.messaging.isConnected(), patience);
    const second = fixture.event();
    await waitFor(async () => {
      await fixture.publish(second);
      return true;
    }, patience);
    await waitFor(async () => (await fixture.recordedIds()).length === 2, patience);
  });
});

describe('ingestion with a database that dies', () => {
  it('loses nothing and records nothing twice', async () => {
    const postgres = await EmbeddedPostgres.start();
    const fixture = await AuditFixture.create(await postgres.ensureDatabase('fleet'), { batchEventsMax: 50 });
    try {
      await fixture.start();
      const events = Array.from({ length: 2000 }, () => fixture.event());
      const publishing = fixture.publish(...events);
      for (let kill = 0; kill < 2; kill += 1) {
        const before = await fixture.recordedIds();
        await waitFor(async () => (await fixture.recordedIds()).length > before.length, patience);
        await postgres.kill();
        await postgres.restart();
      }
      await publishing;
      await waitFor(async () => (await fixture.recordedIds()).length === 2000, patience);
      expect(await fixture.recordedIds()).toEqual(events.map((event) => event.id).sort());
    } finally {
      await fixture.stop();
      await postgres.stop();
    }
  });
});

const withMark = ({ body, ...message }: OutgoingMessage): OutgoingMessage => ({
  ...message,
  body: `\ufeff${Buffer.from(body).toString('utf8')}`,
});

/** Commits, and is never heard of again. */
class DyingCommitter extends Committer {
  override async commit(batch: Batch): Promise<Committed> {
    await super.commit(batch);
    return await new Promise<Committed>(() => undefined);
  }
}

/** A service of which NATS and Postgres see what they see of one killed between commit and acknowledgement. */
async function startDying(fixture: AuditFixture) {
  const { config, logger, nats } = fixture;
  await prepareDatabase(config, logger);
  const messaging = await connectMessaging({
    servers: nats.url,
    user: config.natsUser,
    password: config.natsPassword,
    name: 'dying',
    logger,
  });
  const module = await Test.createTestingModule({
    imports: [
      AuditModule.forRoot({
        ...{ config, logger, messaging, consumer: impatientConsumer },
        signingKey: await SigningKey.generate(),
        logKey: await LogKey.fromFile(config.logKeyPath, config.logOrigin),
      }),
    ],
  })
    .overrideProvider(Committer)
    .useClass(DyingCommitter)
    .compile();
  const batch = { max: 1000, waitMs: 20 };
  const name = consumers.audit.durable;
  const strategy = new CombinedServer([
    new JetStreamServer(messaging, { consumers: [{ spec: impatientConsumer, name, batch }], graceMs: 10 }),
    new RequestReplyServer(messaging, { queue: 'dying' }),
  ]);
  await module.get(LogRepository).ensureHead(config.logOrigin);
  const app = module.createNestMicroservice({ strategy, logger: false });
  await app.listen();
  return {
    cutOff: async () => await messaging.internals().connection.close(),
    close: async () => await app.close(),
  };
}
