import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { eventHeaders, streams, subjects, WatermarkRequest } from '#libs/contracts';
import {
  connectMessaging,
  decodeEvent,
  parseBody,
  provision,
  RequestReplyServer,
  SignedReply,
  SigningKey,
  verifyEvent,
  verifySignature,
  type DecodedEvent,
  type Messaging,
  type RequestContext,
} from '#libs/messaging';
import { EventSpool } from '#libs/spool';
import { createLogger } from '#libs/telemetry';
import { startNats, waitFor, WatermarkLedger, type TestNats } from '#libs/testing';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createGateway } from '../gateway.server.js';

const logger = createLogger({ service: 'gateway', level: 'silent' });
const patience = { timeoutMs: 90_000 };

describe('refusals at the door', () => {
  let nats: TestNats;
  let audit: Messaging;
  let signingKey: SigningKey;
  let auditKey: SigningKey;
  let folder: string;
  let app: NestFastifyApplication | null;
  let ledger: WatermarkLedger;
  let server: RequestReplyServer | null;
  let seen: { event: DecodedEvent; messageId: string | undefined }[];
  let stopTail: () => Promise<void>;

  beforeAll(async () => {
    nats = await startNats();
    audit = await connectMessaging({ servers: nats.url, name: 'audit', logger });
    signingKey = await SigningKey.generate();
    auditKey = await SigningKey.generate();
  });
  afterAll(async () => {
    await audit.drain();
    await nats.stop();
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tradefleet-gateway-'));
    await provision(audit, { streams: [streams.events] });
    [app, server, seen, ledger] = [null, null, [], new WatermarkLedger()];
    await read();
  });
  afterEach(async () => {
    await app?.close();
    await server?.close();
    await stopTail();
    await rm(folder, { recursive: true, force: true });
  });

  const read = async () => {
    stopTail = await audit.tail(subjects.eventsOf('session'), (message) => {
      const event = decodeEvent({ ...message, body: parseBody(message.bytes) });
      seen.push({ event, messageId: message.headers[eventHeaders.messageId] });
      ledger.record(event.attributes);
      void verifyEvent(message, signingKey.publicJwk).catch((error: unknown) => {
        seen.length = 0;
        logger.fatal({ err: error }, 'not signed');
      });
    });
  };
  const answer = async () => {
    server = new RequestReplyServer(audit, { queue: 'audit', replySigner: auditKey });
    const subject = subjects.internal('audit', 'watermark');
    const extras = {
      ...{ kind: 'request', name: subject, api: null },
      ...{ schema: WatermarkRequest, pool: 'internal' },
    };
    const handler = async (request: WatermarkRequest, { rawBody, headers }: RequestContext) => {
      await verifySignature(rawBody, headers['tradefleet-signature'], signingKey.publicJwk);
      expect(request.source).toBe('/gateway');
      return new SignedReply(ledger.answer(request));
    };
    server.addHandler(subject, handler, false, extras);
    await new Promise<void>((resolve) => server?.listen(() => resolve()));
  };
  const gateway = async (): Promise<EventSpool> => {
    const messaging = await connectMessaging({ servers: nats.url, name: 'gateway', logger });
    const config = {
      ...{ natsUrl: [nats.url], port: 1, adminToken: 'x'.repeat(32), signingKeyPath: '' },
      ...{ logLevel: 'info' as const, signingKey, spoolPath: join(folder, 'spool.sqlite') },
      auditPublicKey: [auditKey.publicJwk],
    };
    app = await createGateway(config, messaging, logger);
    await app.listen(0, '127.0.0.1');
    return app.get(EventSpool);
  };
  const knock = async (times: number) => {
    const url = (await app?.getUrl()) ?? '';
    for (let n = 0; n < times; n += 1) expect((await fetch(`${url}/api/v1/bots`)).status).toBe(401);
  };
  const sequences = () => seen.map(({ event }) => event.attributes.sequence);

  it('are events with ids of their own time, kept until the audit log has them', async () => {
    const spool = await gateway();
    await knock(3);
    await waitFor(() => seen.length === 3, patience);
    expect(sequences()).toEqual([1, 2, 3]);
    for (const { event } of seen) {
      const id_ms = Number.parseInt(event.attributes.id.replaceAll('-', '').slice(0, 12), 16);
      expect(id_ms).toBe(Date.parse(event.attributes.time));
    }
    await waitFor(() => spool.waiting === 0);
    expect(spool.kept).toBe(3);
    await answer();
    await waitFor(() => spool.kept === 0, patience);
  });

  it('outlast the gateway and the stream: the next one publishes them again', async () => {
    await gateway();
    await knock(2);
    await waitFor(() => seen.length === 2, patience);
    const ids = seen.map(({ event }) => event.attributes.id);
    await app?.close();
    await stopTail();
    const [incarnation = ''] = seen.map(({ event }) => event.attributes.incarnation);
    ledger.forget(incarnation, 1, 2);
    await (await audit.manager()).streams.delete(streams.events.name);
    await provision(audit, { streams: [streams.events] });
    seen = [];
    await read();
    const spool = await gateway();
    expect(spool.kept).toBe(2);
    await knock(1);
    await answer();
    await waitFor(() => spool.kept === 0, patience);
    const old = seen.filter(({ event }) => event.attributes.incarnation === incarnation);
    expect(old.map(({ event, messageId }) => [event.attributes.id, messageId])).toEqual(
      ids.map((id) => [id, `${id}.1`]),
    );
    expect(seen).toHaveLength(3);
  });

  it('wait in the file while NATS is away', async () => {
    const spool = await gateway();
    await nats.kill();
    await knock(2);
    await waitFor(() => spool.waiting === 2);
    await nats.restart();
    await waitFor(() => spool.waiting === 0, patience);
  });
});
