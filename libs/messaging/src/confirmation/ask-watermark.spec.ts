import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { headers, type Msg, type NatsConnection, type Subscription } from '@nats-io/transport-node';
import {
  newId,
  ProblemError,
  signatureHeader,
  type Reply,
  WatermarkRequest,
  type WatermarkAnswer,
} from '#libs/contracts';
import { startNats, uniqueName, VirtualClock, waitFor, type TestNats } from '#libs/testing';
import { encodeJson, parseJson } from '../json-body.js';
import type { Messaging } from '../messaging.js';
import { UntrustedAnswer } from '../request.js';
import { SigningKey } from '../signing/signing-key.js';
import { verifySignature } from '../signing/signature.js';
import { connected } from '../testing/fleet.fixture.js';
import { askWatermark } from './ask-watermark.js';
import { ConfirmationLoop, type KeptEvents } from './confirmation.loop.js';

/** What goes back: a body, and who signs it. */
interface Sent {
  readonly body: Uint8Array;
  readonly signature: string | null;
}

describe('the answer about what is recorded', () => {
  let nats: TestNats;
  let raw: NatsConnection;
  let messaging: Messaging;
  let producer: SigningKey;
  let audit: SigningKey;
  let thief: SigningKey;
  let subject: string;
  let serving: Subscription | null;
  const incarnation = newId();
  const source = '/scheduler';

  beforeAll(async () => {
    nats = await startNats();
    raw = await nats.connect();
    messaging = await connected(nats);
    [producer, audit, thief] = await Promise.all([
      ...([SigningKey.generate(), SigningKey.generate(), SigningKey.generate()] as const),
    ]);
  });
  beforeEach(() => {
    subject = `fleet.v1.internal.${uniqueName('audit')}.watermark`;
    serving = null;
  });
  afterEach(() => serving?.unsubscribe());
  afterAll(async () => {
    await raw.close();
    await messaging.drain();
    await nats.stop();
  });

  /** Answers as `how` says, as whoever may subscribe there can. */
  const serve = async (how: (request: WatermarkRequest, asked: Msg) => Promise<Sent>): Promise<void> => {
    serving?.unsubscribe();
    serving = raw.subscribe(subject, {
      callback: (_error, message) => {
        void how(WatermarkRequest.parse(parseJson(message.data)), message).then(({ body, signature }) => {
          const sent = headers();
          if (signature !== null) sent.set(signatureHeader, signature);
          message.respond(body, { headers: sent });
        });
      },
    });
    // Questions come over another connection, and must not overtake it.
    await raw.flush();
  };
  const all = ({ source: of, nonce, incarnations }: WatermarkRequest): WatermarkAnswer => ({
    ...{ source: of, nonce },
    incarnations: incarnations.map((one) => ({ incarnation: one.incarnation, upTo: one.last, missing: [] })),
  });
  const sealed = async (answer: unknown, key: SigningKey | null): Promise<Sent> => {
    const body = encodeJson({ ok: true, result: answer } satisfies Reply<unknown>);
    return { body, signature: key === null ? null : await key.sign(body) };
  };
  const ask = (keys = [audit.publicJwk]) =>
    askWatermark({ messaging: () => messaging, subject, signer: producer, auditKeys: keys });
  const question = { source, incarnations: [{ incarnation, last: 7, unavailable: [] }] };

  it('counts when the audit service has signed it, with any of its keys', async () => {
    const next = await SigningKey.generate();
    let seen: WatermarkRequest | null = null;
    await serve(async (request, { data, headers: sent }) => {
      await verifySignature(data, sent?.get(signatureHeader), producer.publicJwk);
      expect(request.nonce).not.toBe(seen?.nonce);
      seen = request;
      return await sealed(all(request), audit);
    });
    const expected = { incarnations: [{ incarnation, upTo: 7, missing: [] }] };
    expect(await ask()(question)).toMatchObject(expected);
    expect(await ask([next.publicJwk, audit.publicJwk])(question)).toMatchObject(expected);
    await expect(ask([next.publicJwk])(question)).rejects.toThrow(UntrustedAnswer);
    await expect(ask([])(question)).rejects.toThrow(UntrustedAnswer);
  });

  let recorded: Sent | null = null;
  const forged: [string, (request: WatermarkRequest) => Promise<Sent>][] = [
    ['that nobody has signed', async (request) => await sealed(all(request), null)],
    ['of whoever may answer there', async (request) => await sealed(all(request), thief)],
    ['of the key of a host or another service', async (request) => await sealed(all(request), producer)],
    [
      'that was changed',
      async (request) => {
        const { signature } = await sealed(all(request), audit);
        const answer = all(request);
        return {
          ...(await sealed({ ...answer, incarnations: [{ incarnation, upTo: 9, missing: [] }] }, null)),
          signature,
        };
      },
    ],
    [
      'that was given before, to the same question',
      async (request) => (recorded ??= await sealed(all({ ...request, nonce: 'A'.repeat(22) }), audit)),
    ],
    ['to another producer', async (request) => await sealed(all({ ...request, source: '/secrets' }), audit)],
  ];

  it.each(forged)('is refused, and nothing is deleted by it: one %s', async (_what, how) => {
    const clock = new VirtualClock();
    const confirmed: number[] = [];
    const kept: KeptEvents = {
      incarnations: () => (confirmed.length === 0 ? [{ incarnation, last: 7 }] : []),
      confirm: (_incarnation, upTo) => void confirmed.push(upTo),
      again: () => [],
    };
    const told: string[] = [];
    const tell = (_fields: object, message: string) => void told.push(message);
    const logger = { info: tell, warn: tell, error: tell };
    await serve(how);
    await expect(ask()(question)).rejects.toThrow(UntrustedAnswer);
    const loop = new ConfirmationLoop(kept, ask(), { source, clock, logger });
    loop.start();
    try {
      for (const times of [1, 2, 3]) {
        await waitFor(() => loop.status().mistrusted >= times && clock.sleeping === 1);
        await clock.advance(30_000);
      }
      expect(confirmed).toEqual([]);
      const asked = told.filter((it) => it.includes('not signed by the audit service'));
      expect(asked).toHaveLength(1);
      // The forger is gone: what was kept is confirmed by the true answer.
      await serve(async (request) => await sealed(all(request), audit));
      await waitFor(async () => {
        await clock.advance(30_000);
        return confirmed.length > 0;
      });
      expect(confirmed).toEqual([7]);
      await waitFor(() => told.at(-1) === 'events are confirmed again');
    } finally {
      await loop.stop();
    }
  });

  it('may be a refusal that is not signed: it deletes nothing', async () => {
    const problem = new ProblemError('unavailable', 'Try again.').toProblem();
    await serve(
      async () => await Promise.resolve({ body: encodeJson({ ok: false, problem }), signature: null }),
    );
    await expect(ask()(question)).rejects.toMatchObject({ code: 'unavailable' });
    await expect(ask()(question)).rejects.not.toBeInstanceOf(UntrustedAnswer);
  });
});
