import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from '@jest/globals';
import { newId } from '#libs/contracts';
import { EmbeddedPostgres, startPostgres, VirtualClock, waitFor, type TestPostgres } from '#libs/testing';
import { anEvent, encodePlainly, MemoryStream, OutboxDatabase } from '../testing/outbox.database.js';
import type { NewMessage } from './outbox.js';
import type { OutboxRelay } from './outbox.relay.js';
import type { RelayEvent, RelayMessage, SendOutcome } from './relay.ports.js';

/** Lets passes fail until the next one is at least 2 s away. @param lanes that run */
async function untilSlow(relay: OutboxRelay, clock: VirtualClock, lanes: number): Promise<void> {
  while (relay.status().failures < 8) await inSteps(clock, 250, lanes);
}

/** Lets time pass so that all lanes, which use a real database, come to their next wait every 250 ms. */
async function inSteps(clock: VirtualClock, ms: number, lanes: number): Promise<void> {
  for (let passed_ms = 0; passed_ms < ms; passed_ms += 250) {
    await waitFor(() => clock.sleeping === lanes, { what: 'all lanes to wait' });
    await clock.advance(250);
  }
  await waitFor(() => clock.sleeping === lanes, { what: 'all lanes to wait' });
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

describe('OutboxRelay', () => {
  let postgres: TestPostgres;
  let database: OutboxDatabase;
  let stream: MemoryStream;

  beforeAll(async () => (postgres = await startPostgres()));
  afterAll(async () => await postgres.stop());
  beforeEach(async () => {
    database = await OutboxDatabase.create(postgres);
    stream = new MemoryStream();
  });
  afterEach(async () => await database.close());

  it('publishes what was committed, in order, numbered without gaps, and nothing that was rolled back', async () => {
    const kept = await database.append(3);
    const undone = database.dataSource.transaction(async (manager) => {
      await database.outbox.events(manager, [anEvent(), anEvent()]);
      throw new Error('changed my mind');
    });
    await expect(undone).rejects.toThrow('changed my mind');
    const alsoKept = await database.append(2);
    database.relay(stream.publish).start();
    await database.untilEmpty();
    expect(stream.stored.map((message) => message.messageId)).toEqual([...kept, ...alsoKept]);
    expect(stream.sequences()).toEqual(upTo(5));
    expect(await database.query('SELECT sequence::int, incarnation FROM spec.outbox_producer')).toEqual([
      { sequence: 5, incarnation: stream.stored[0]?.headers['incarnation'] },
    ]);
  });

  it('has the events of a pass signed together, and as many as it takes at once', async () => {
    const ids = await database.append(7);
    const passes: string[][] = [];
    const finish = async (events: readonly RelayEvent[]): Promise<readonly RelayMessage[]> => {
      passes.push(events.map(({ id }) => id));
      return await encodePlainly(events);
    };
    database.relay(stream.publish, { finish, batchRows: 5 }).start();
    await database.untilEmpty();
    expect(passes).toEqual([ids.slice(0, 5), ids.slice(5)]);
  });

  it('publishes nothing while not every event has become a message', async () => {
    await database.append(3);
    let isShort = true;
    const finish = async (events: readonly RelayEvent[]): Promise<readonly RelayMessage[]> =>
      (await encodePlainly(events)).slice(isShort ? 1 : 0);
    const relay = database.relay(stream.publish, { finish });
    relay.start();
    await waitFor(() => relay.status().failures > 0, { what: 'a pass that failed' });
    expect(stream.stored).toEqual([]);
    isShort = false;
    await database.untilEmpty();
    expect(stream.sequences()).toEqual(upTo(3));
  });

  it('publishes nothing while another process may, and goes on once it may itself', async () => {
    let may = false;
    await database.append(2);
    const relay = database.relay(stream.publish);
    relay.start(() => may);
    await waitFor(() => relay.status().failures > 0, { what: 'a pass that was held back' });
    expect(stream.stored).toEqual([]);
    may = true;
    await database.untilEmpty();
    expect(stream.sequences()).toEqual([1, 2]);
  });

  describe('with messages that are not events', () => {
    const later = new Date('2100-01-01T00:00:00Z');
    const aMessage = (subject: string, more: Partial<NewMessage> = {}): NewMessage => ({
      ...{ subject, messageId: newId(), body: '{"x":1}', headers: { h: 'v' }, expiresAt: later },
      ...more,
    });
    const sentSubjects = () => sent.map(({ subject }) => subject);
    let sent: RelayMessage[];
    const send = async (messages: readonly RelayMessage[]): Promise<SendOutcome[]> => {
      sent.push(...messages);
      return messages.map(() => ({ ok: true }));
    };
    const dropped = async () =>
      await database.query<{ subject: string; dropped: string }>(
        'SELECT subject, dropped FROM spec.outbox WHERE dropped IS NOT NULL ORDER BY id',
      );
    beforeEach(() => {
      sent = [];
    });

    it('sends them as they are, urgent ones first, and numbers the events alone', async () => {
      await database.append(1);
      const first = aMessage('a.start');
      await database.appendMessages([first, aMessage('b.start'), aMessage('a.stop', { urgent: true })]);
      await database.append(1);
      database.relay(stream.publish, { send }).start();
      await database.untilEmpty();
      expect(sentSubjects()).toEqual(['a.stop', 'a.start', 'b.start']);
      const { messageId, subject, body, headers } = first;
      expect(sent[1]).toMatchObject({ messageId, subject, body, headers });
      expect(stream.sequences()).toEqual([1, 2]);
    });

    it('publishes events while messages cannot be sent, and sends those once they can', async () => {
      let away = true;
      await database.appendMessages([aMessage('a.start')]);
      await database.append(3);
      const relay = database.relay(stream.publish, {
        send: async (messages) =>
          away ? messages.map(() => ({ ok: false, refused: null })) : await send(messages),
      });
      relay.start();
      await waitFor(() => stream.stored.length === 3 && relay.status().failures > 0);
      // Stored events are marked a moment later.
      await waitFor(async () => (await relay.backlog()) === 1, { what: 'the message alone to wait' });
      away = false;
      await database.untilEmpty();
      expect(sentSubjects()).toEqual(['a.start']);
    });

    it('sends messages while events cannot be published', async () => {
      await database.append(1);
      await database.appendMessages([aMessage('a.stop')]);
      const relay = database.relay(async (messages) => messages.map(() => ({ ok: false })), { send });
      relay.start();
      await waitFor(() => sent.length === 1 && relay.status().failures > 0);
    });

    it('sends an urgent one that comes, or is left, while passes are far apart', async () => {
      const clock = new VirtualClock();
      const expiresAt = new Date(clock.wallMs() + 3_600_000);
      const attempts: string[][] = [];
      let away = true;
      const relay = database.relay(stream.publish, {
        clock,
        idleMs: 3_600_000,
        send: async (messages) => {
          attempts.push(messages.map(({ subject }) => subject));
          return away ? messages.map(() => ({ ok: false, refused: null })) : await send(messages);
        },
      });
      await database.appendMessages([aMessage('a.start', { expiresAt })]);
      relay.start();
      await untilSlow(relay, clock, 2);
      const quiet = attempts.length;
      await inSteps(clock, 1500, 2);
      // Nothing is urgent: the broker is left alone.
      expect(attempts.length).toBe(quiet);
      await database.appendMessages([aMessage('a.stop', { urgent: true, expiresAt })]);
      await inSteps(clock, 1000, 2);
      const urgent = attempts.slice(quiet);
      expect(urgent[0]).toEqual(['a.stop', 'a.start']);
      // And it is not hammered.
      expect(urgent.length).toBeGreaterThanOrEqual(3);
      expect(urgent.length).toBeLessThanOrEqual(4);
      away = false;
      await inSteps(clock, 250, 2);
      await waitFor(() => sentSubjects().includes('a.stop'));
    });

    it('gives up what its stream refuses, and goes on with the others', async () => {
      await database.appendMessages(['full.start', 'free.start', 'full.start'].map((s) => aMessage(s)));
      const relay = database.relay(stream.publish, {
        batchRows: 2,
        send: async (messages) =>
          await Promise.all(
            messages.map(async (message) =>
              message.subject === 'full.start'
                ? { ok: false as const, refused: 'stream full' }
                : ((await send([message]))[0] ?? { ok: true as const }),
            ),
          ),
      });
      relay.start();
      await database.untilEmpty();
      expect(sentSubjects()).toEqual(['free.start']);
      expect(await dropped()).toEqual([
        { subject: 'full.start', dropped: 'stream full' },
        { subject: 'full.start', dropped: 'stream full' },
      ]);
    });

    it('drops what has expired, by the clock of those who set the end', async () => {
      const clock = new VirtualClock();
      const now_ms = clock.wallMs();
      await database.appendMessages([
        aMessage('old.start', { expiresAt: new Date(now_ms - 1) }),
        aMessage('new.start', { expiresAt: new Date(now_ms + 1000) }),
      ]);
      database.relay(stream.publish, { send, clock }).start();
      await database.untilEmpty();
      expect(sentSubjects()).toEqual(['new.start']);
      expect(await dropped()).toEqual([{ subject: 'old.start', dropped: 'expired' }]);
    });
  });

  it('publishes again under the same id and number when it died between publishing and marking', async () => {
    await database.append(7);
    let release: () => void = () => undefined;
    const hung = new Promise<void>((resolve) => (release = resolve));
    // The first relay stores everything and then hears nothing any more, as if its process had been killed there.
    const dead = database.relay(async (messages) => {
      const outcomes = await stream.publish(messages);
      await hung;
      return outcomes;
    });
    dead.start();
    await waitFor(() => stream.stored.length === 7);
    expect(await dead.backlog()).toBe(7);
    database.relay(stream.publish).start();
    await database.untilEmpty();
    expect(stream.deliveries).toBe(14);
    expect(stream.sequences()).toEqual(upTo(7));
    await database.append(1);
    await waitFor(() => stream.stored.length === 8);
    // The second relay numbers in an incarnation of its own.
    expect(stream.byIncarnation()).toEqual([upTo(7), [1]]);
    release();
  });

  it('never numbers twice with two relays and many writers at once', async () => {
    const relays = [0, 1].map(() => database.relay(stream.publish, { batchRows: 7 }));
    for (const relay of relays) relay.start();
    const writers = Array.from({ length: 8 }, async () => {
      for (let round = 0; round < 10; round += 1) {
        await database.append(3);
        relays[round % 2]?.wake();
      }
    });
    await Promise.all(writers);
    await database.untilEmpty();
    const numbers = stream.byIncarnation();
    expect(numbers).toEqual(numbers.map(({ length }) => upTo(length)));
    expect(numbers.length).toBeLessThanOrEqual(2);
    expect(new Set(stream.stored.map((message) => message.messageId)).size).toBe(240);
  });

  it('keeps the order when publishing fails in the middle of batches', async () => {
    let calls = 0;
    const failing = async (messages: readonly RelayMessage[]) => {
      // As publishDurableAll: after the first failure nothing more is sent.
      const good = (calls += 1) % 2 === 0 ? messages.length : Math.floor(messages.length / 3);
      return messages.map((message, index) => (index < good ? stream.store(message) : { ok: false }));
    };
    await database.append(60);
    const relay = database.relay(failing, { batchRows: 25 });
    relay.start();
    await database.append(40);
    await database.untilEmpty();
    expect(stream.sequences()).toEqual(upTo(100));
  });

  it('holds one batch in memory however long the backlog', async () => {
    await database.append(2500);
    const relay = database.relay(stream.publish, { batchRows: 200 });
    expect(await relay.backlog()).toBe(2500);
    relay.start();
    await database.untilEmpty();
    expect(stream.largest).toBe(200);
    expect(stream.sequences()).toEqual(upTo(2500));
  });

  it('is woken by a commit without waiting for its timer', async () => {
    const relay = database.relay(stream.publish, { idleMs: 3_600_000 });
    relay.start();
    await database.append(1);
    relay.wake();
    await waitFor(() => stream.stored.length === 1);
    expect(relay.status()).toMatchObject({ running: true, failures: 0 });
  });

  it('tries again ever more slowly, within bounds, and goes on when the broker is back', async () => {
    const clock = new VirtualClock();
    let attempts = 0;
    let away = true;
    const relay = database.relay(
      async (messages) => {
        attempts += 1;
        if (away) throw new Error('no broker');
        return await stream.publish(messages);
      },
      { clock },
    );
    await database.append(1);
    relay.start();
    for (let attempt = 1; attempt <= 8; attempt += 1) {
      await waitFor(() => clock.sleeping === 1);
      expect(attempts).toBe(attempt);
      relay.wake();
      expect(clock.sleeping).toBe(1);
      await clock.advance(5000);
      await waitFor(() => attempts === attempt + 1);
    }
    expect(relay.status().failures).toBeGreaterThanOrEqual(8);
    away = false;
    await waitFor(() => clock.sleeping === 1);
    await clock.advance(5000);
    await database.untilEmpty();
    expect(stream.sequences()).toEqual([1]);
  });

  it('tries at once when the broker is reachable again, and is quick to try once more', async () => {
    const clock = new VirtualClock();
    let attempts = 0;
    let away = true;
    const listeners = new Set<() => void>();
    const relay = database.relay(
      async (messages) => {
        attempts += 1;
        if (away) throw new Error('no broker');
        return await stream.publish(messages);
      },
      {
        clock,
        onReachable: (listener) => {
          listeners.add(listener);
          return () => void listeners.delete(listener);
        },
      },
    );
    await database.append(1);
    relay.start();
    await untilSlow(relay, clock, 1);
    const before = attempts;
    const now_ms = clock.monotonicMs();
    for (const listener of listeners) listener();
    await waitFor(() => attempts === before + 1 && clock.sleeping === 1);
    expect(clock.monotonicMs()).toBe(now_ms);
    // It did not last; the stream has no leader yet, say.
    away = false;
    await clock.advance(100);
    await database.untilEmpty();
    expect(stream.sequences()).toEqual([1]);
    await relay.stop();
    expect(listeners.size).toBe(0);
  });

  it('deletes messages that were sent long ago, and no event', async () => {
    const expiresAt = new Date('2100-01-01T00:00:00Z');
    const send = async (messages: readonly RelayMessage[]) => messages.map(() => ({ ok: true as const }));
    const subjects = ['a.old', 'a.new'];
    await database.appendMessages(
      subjects.map((subject) => ({ subject, messageId: newId(), body: '{}', expiresAt })),
    );
    await database.append(2);
    const first = database.relay(stream.publish, { send });
    first.start();
    await database.untilEmpty();
    await first.stop();
    await database.query(
      "UPDATE spec.outbox SET published_at = now() - interval '2 hours' WHERE subject = 'a.old' OR sequence = 1",
    );
    const again = database.relay(stream.publish, { send, keepMs: 3_600_000 });
    again.start();
    const left = async () =>
      await database.query<{ it: string }>(
        'SELECT coalesce(subject, sequence::text) AS it FROM spec.outbox ORDER BY id',
      );
    await waitFor(async () => {
      expect(await left()).toEqual([{ it: 'a.new' }, { it: '1' }, { it: '2' }]);
      return true;
    });
  });
});

describe('OutboxRelay with a database that dies', () => {
  it('loses nothing and numbers nothing twice', async () => {
    const postgres = await EmbeddedPostgres.start();
    const database = await OutboxDatabase.at(await postgres.ensureDatabase('spec'));
    const stream = new MemoryStream();
    try {
      const ids = await database.append(400);
      const relay = database.relay(stream.publish, { batchRows: 10 });
      relay.start();
      for (const stored of [50, 150, 250]) {
        await waitFor(() => stream.stored.length > stored);
        await postgres.kill();
        await postgres.restart();
      }
      await database.untilEmpty();
      expect(stream.stored.map((message) => message.messageId)).toEqual(ids);
      expect(stream.sequences()).toEqual(upTo(400));
    } finally {
      await database.close();
      await postgres.stop();
    }
  });
});
