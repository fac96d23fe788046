import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SystemClock } from '#libs/clock';
import { eventHeaders, newId } from '#libs/contracts';
import { SigningKey, verifyEvent, type Messaging, type OutgoingMessage } from '#libs/messaging';
import { createLogger } from '#libs/telemetry';
import { anAllocationEvent, waitFor } from '#libs/testing';
import { EventSpool } from './event-spool.js';
import { SpoolFile } from './spool.file.js';
import { SpoolPublisher } from './spool.publisher.js';

/** Takes whatever comes, as a stream does. */
class Taking implements Pick<Messaging, 'publishDurableAll'> {
  readonly taken: OutgoingMessage[] = [];

  async publishDurableAll(messages: readonly OutgoingMessage[]): ReturnType<Messaging['publishDurableAll']> {
    this.taken.push(...messages);
    return messages.map(({ messageId }, index) => ({ messageId, ok: true, seq: index, duplicate: false }));
  }
}

describe('what brings a spool to the broker', () => {
  const clock = new SystemClock();
  let folder: string;
  let db: SpoolFile;
  let spool: EventSpool;
  let key: SigningKey;
  let stream: Taking;
  let publisher: SpoolPublisher;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tradefleet-spool-'));
    db = new SpoolFile(join(folder, 'spool.sqlite'));
    spool = new EventSpool(db, clock, { incarnation: newId(), events_max: 10_000 });
    [key, stream] = [await SigningKey.generate(), new Taking()];
    publisher = new SpoolPublisher({
      ...{ spool, db, source: '/agent/host-a', signingKey: key, clock },
      messaging: () => stream as unknown as Messaging,
      ask: async () => await Promise.reject(new Error('nobody answers')),
      logger: createLogger({ service: 'spool-spec', level: 'silent' }),
    });
  });
  afterEach(async () => {
    await publisher.close();
    db.close();
    await rm(folder, { recursive: true, force: true });
  });

  const append = async (count: number) =>
    await db.commit(() => {
      for (let made = 0; made < count; made += 1) {
        const data = anAllocationEvent({ host: 'host-a' });
        spool.append({
          ...{ type: 'tradefleet.allocation.running', subjectId: data.allocation, data },
          ...{ actor: 'host:host-a', traceparent: null },
        });
      }
    });
  const untilTaken = async (count: number) =>
    await waitFor(() => stream.taken.length === count && spool.waiting === 0, { what: 'all to be taken' });
  const signaturesOf = (messages: readonly OutgoingMessage[]) =>
    messages.map(({ headers }) => headers[eventHeaders.signature] ?? '');
  const verifyAll = async (messages: readonly OutgoingMessage[]) => {
    for (const { headers, body } of messages)
      await verifyEvent({ headers, bytes: Buffer.from(body) }, key.publicJwk);
  };

  it('signs what waits together, 64 events at a time, and what comes alone alone', async () => {
    await append(150);
    publisher.start();
    await untilTaken(150);
    const sequences = stream.taken.map(({ headers }) => Number(headers[eventHeaders.sequence]));
    expect(sequences).toEqual(sequences.map((_, index) => index + 1));
    expect(new Set(signaturesOf(stream.taken).map((it) => it.split('~')[0])).size).toBe(3);
    await append(1);
    await untilTaken(151);
    expect(signaturesOf(stream.taken.slice(150))[0]).not.toContain('~');
    await verifyAll(stream.taken);
  });

  it('publishes again what did not arrive, signed anew, under another message id each time', async () => {
    await append(4);
    publisher.start();
    await untilTaken(4);
    const [{ incarnation } = { incarnation: '' }] = spool.incarnations();
    await spool.again(incarnation, [[2, 3]]);
    await untilTaken(6);
    await spool.again(incarnation, [[3, 3]]);
    await untilTaken(7);
    await verifyAll(stream.taken);
    const [, second, third, , ...again] = stream.taken;
    expect(again.map(({ messageId }) => messageId)).toEqual([
      `${second?.messageId}.1`,
      `${third?.messageId}.1`,
      `${third?.messageId}.2`,
    ]);
    expect(again.map(({ body }) => Buffer.from(body).toString())).toEqual(
      [second, third, third].map((it) => Buffer.from(it?.body ?? '').toString()),
    );
    expect(new Set(signaturesOf(stream.taken)).size).toBe(7);
  });
});
