import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '#libs/contracts';
import { startPostgres, waitFor, type TestPostgres } from '#libs/testing';
import { createDataSource } from '../data-source.js';
import { runMigrations } from '../migrations.js';
import { anEvent, ManualConfirmation, MemoryStream, OutboxDatabase } from '../testing/outbox.database.js';
import { outboxMigrations } from './outbox.migration.js';
import type { OutboxRelay } from './outbox.relay.js';

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

describe('events of the outbox', () => {
  let postgres: TestPostgres;
  let database: OutboxDatabase;
  let stream: MemoryStream;
  let confirmation: ManualConfirmation;

  beforeAll(async () => (postgres = await startPostgres()));
  afterAll(async () => await postgres.stop());
  beforeEach(async () => {
    database = await OutboxDatabase.create(postgres);
    stream = new MemoryStream();
    confirmation = new ManualConfirmation();
  });
  afterEach(async () => await database.close());

  /** A relay that has published everything. */
  const relaying = async (): Promise<OutboxRelay> => {
    const relay = database.relay(stream.publish, { confirmation: confirmation.of });
    relay.start();
    await waitFor(async () => (await relay.backlog()) === 0);
    return relay;
  };
  const onlyIncarnation = async () => {
    const [first, ...others] = await confirmation.kept.incarnations();
    expect(others).toEqual([]);
    if (first === undefined) throw new Error('nothing is kept');
    return first;
  };
  const keptSequences = async () =>
    (
      await database.query<{ sequence: number }>(
        'SELECT sequence::int FROM spec.outbox WHERE event IS NOT NULL ORDER BY id',
      )
    ).map(({ sequence }) => sequence);

  it('stay after they were published, until they are confirmed', async () => {
    await database.append(5);
    const relay = await relaying();
    expect(await relay.unconfirmed()).toBe(5);
    const { incarnation, last } = await onlyIncarnation();
    expect(last).toBe(5);
    await confirmation.kept.confirm(newId(), 5);
    expect(await keptSequences()).toEqual(upTo(5));
    await confirmation.kept.confirm(incarnation, 3);
    expect(await keptSequences()).toEqual([4, 5]);
    await confirmation.kept.confirm(incarnation, 9);
    expect(await confirmation.kept.incarnations()).toEqual([]);
    expect(await relay.unconfirmed()).toBe(0);
  });

  it('are confirmed while the relay runs, and while it may publish', async () => {
    let may = true;
    await database.append(1);
    const relay = database.relay(stream.publish, { confirmation: confirmation.of });
    expect(confirmation.running).toBe(false);
    relay.start(() => may);
    expect(confirmation.running).toBe(true);
    await waitFor(async () => (await confirmation.kept.incarnations()).length === 1);
    may = false;
    expect(await confirmation.kept.incarnations()).toEqual([]);
    await relay.stop();
    expect(confirmation.running).toBe(false);
  });

  it('that were not published are neither confirmed nor asked for', async () => {
    await database.append(2);
    let away = false;
    const relay = database.relay(
      async (messages) => (away ? messages.map(() => ({ ok: false })) : await stream.publish(messages)),
      { confirmation: confirmation.of },
    );
    relay.start();
    await database.untilEmpty();
    away = true;
    await database.append(2);
    relay.wake();
    await waitFor(async () => (await keptSequences()).includes(4));
    const { incarnation, last } = await onlyIncarnation();
    expect(last).toBe(2);
    await confirmation.kept.confirm(incarnation, 4);
    expect(await keptSequences()).toEqual([3, 4]);
  });

  it('are published again before others, as the same events under another message id', async () => {
    const ids = await database.append(6);
    const relay = await relaying();
    const { incarnation } = await onlyIncarnation();
    await confirmation.kept.confirm(incarnation, 1);
    await relay.stop();
    const before = stream.stored.length;
    await database.append(1);
    // Number 1 is recorded and gone; 8 was never given.
    const there = await confirmation.kept.again(incarnation, [
      [1, 2],
      [4, 5],
      [8, 9],
    ]);
    expect(there).toEqual([2, 4, 5]);
    expect(await onlyIncarnation()).toEqual({ incarnation, last: 6 });
    await relaying();
    const again = stream.stored.slice(before);
    expect(again.map(({ messageId }) => messageId).slice(0, 3)).toEqual([
      `${ids[1]}.1`,
      `${ids[3]}.1`,
      `${ids[4]}.1`,
    ]);
    expect(again.map(({ headers }) => Number(headers['sequence']))).toEqual([2, 4, 5, 1]);
    expect(again[0]).toEqual({ ...stream.stored[1], messageId: `${ids[1]}.1` });
    // Lost once more, it needs a message id that the stream does not know.
    await confirmation.kept.again(incarnation, [[2, 2]]);
    await waitFor(() => stream.stored.at(-1)?.messageId === `${ids[1]}.2`);
  });

  it('that wait to be published again are not marked twice', async () => {
    const ids = await database.append(1);
    const relay = await relaying();
    const { incarnation } = await onlyIncarnation();
    await relay.stop();
    expect(await confirmation.kept.again(incarnation, [[1, 1]])).toEqual([1]);
    expect(await confirmation.kept.again(incarnation, [[1, 1]])).toEqual([1]);
    await relaying();
    expect(stream.stored.map(({ messageId }) => messageId)).toEqual([ids[0], `${ids[0]}.1`]);
  });

  it('are numbered in a new incarnation at each start, and keep the number they have', async () => {
    await database.append(2);
    await (await relaying()).stop();
    await database.append(2);
    const failing = database.relay(async (messages) => messages.map(() => ({ ok: false })));
    failing.start();
    await waitFor(() => failing.status().failures > 0);
    await failing.stop();
    await database.append(3);
    await relaying();
    expect(stream.byIncarnation()).toEqual([upTo(2), upTo(2), upTo(3)]);
    const kept = await confirmation.kept.incarnations();
    expect(kept.map(({ last }) => last)).toEqual([2, 2, 3]);
    expect(kept.map(({ incarnation }) => incarnation)).toEqual(kept.map((it) => it.incarnation).toSorted());
  });

  it('are many: the highest number of each incarnation is found, and they go some thousands at a time', async () => {
    for (let n = 0; n < 3; n += 1) {
      await database.append(1);
      await (await relaying()).stop();
    }
    await database.query(`
      INSERT INTO spec.outbox (message_id, event, body, incarnation, sequence, published_at)
      SELECT gen_random_uuid(), '{}', '{}', incarnation, n, now()
        FROM spec.outbox_producer, generate_series(2, 12000) AS n`);
    const kept = await confirmation.kept.incarnations();
    expect(kept.map(({ last }) => last)).toEqual([1, 1, 12000]);
    const { incarnation } = kept[2] ?? { incarnation: '' };
    await confirmation.kept.confirm(incarnation, 11_999);
    expect((await keptSequences()).toSorted()).toEqual([1, 1, 12000]);
  });
});

describe('the migration that keeps events', () => {
  let postgres: TestPostgres;
  beforeAll(async () => (postgres = await startPostgres()));
  afterAll(async () => await postgres.stop());

  it('leaves what is in the outbox to the incarnation that numbered it', async () => {
    const options = { url: await postgres.createDatabase(), schema: 'spec', applicationName: 'spec' };
    const all = outboxMigrations('spec');
    await runMigrations({ ...options, migrations: all.slice(0, 2) });
    const before = await createDataSource(options).initialize();
    const incarnation = newId();
    const ids = upTo(3).map(() => newId());
    const event = anEvent();
    const stored = JSON.stringify({
      type: event.type,
      subjectId: event.id,
      actor: event.actor,
      time: new Date().toISOString(),
    });
    await before.query('INSERT INTO spec.outbox_producer VALUES ($1, $2, 7)', ['/scheduler', incarnation]);
    for (const [index, id] of ids.entries())
      await before.query(
        `INSERT INTO spec.outbox (message_id, event, body, sequence, published_at)
         VALUES ($1, $2, $3, $4, CASE WHEN $5::boolean THEN now() END)`,
        [id, stored, JSON.stringify(event.data), index < 2 ? index + 6 : null, index === 0],
      );
    await before.destroy();
    const database = await OutboxDatabase.at(options.url);
    try {
      const stream = new MemoryStream();
      const confirmation = new ManualConfirmation();
      database.relay(stream.publish, { confirmation: confirmation.of }).start();
      await database.untilEmpty();
      expect(stream.stored.map(({ messageId }) => messageId)).toEqual(ids.slice(1));
      expect(stream.byIncarnation()).toEqual([[7], [1]]);
      expect(stream.stored[0]?.headers['incarnation']).toBe(incarnation);
      expect(await confirmation.kept.incarnations()).toContainEqual({ incarnation, last: 7 });
    } finally {
      await database.close();
    }
  });
});
