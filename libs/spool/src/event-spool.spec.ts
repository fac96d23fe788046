import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newId } from '#libs/contracts';
import { VirtualClock, anAllocationEvent } from '#libs/testing';
import { EventSpool, type RecordedEvent } from './event-spool.js';
import { SpoolFile } from './spool.file.js';

describe('EventSpool', () => {
  let folder: string;
  let db: SpoolFile;
  const clock = new VirtualClock();
  const open = () => new EventSpool(db, clock, { incarnation: newId(), events_max: 3 });
  const event = (): RecordedEvent<'tradefleet.allocation.running'> => {
    const data = anAllocationEvent();
    return {
      type: 'tradefleet.allocation.running',
      subjectId: data.allocation,
      data,
      actor: 'user:test',
      traceparent: null,
    };
  };

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tradefleet-spool-'));
    db = new SpoolFile(join(folder, 'spool.sqlite'));
  });
  afterEach(async () => {
    db.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('numbers events from 1 without gaps, also when a commit fails in between', async () => {
    const spool = open();
    await db.commit(() => spool.append(event()));
    await expect(
      db.commit(() => {
        spool.append(event());
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    await db.commit(() => {
      spool.append(event());
      spool.append(event());
    });
    expect(spool.next(10).map((e) => e.sequence)).toEqual([1, 2, 3]);
  });

  /** The broker has them all. */
  const publishAll = async (spool: EventSpool) => {
    const events = spool.next(1000);
    await db.commit(() => spool.markPublished(events));
    return events;
  };
  const append = async (spool: EventSpool, count: number) => {
    for (let i = 0; i < count; i += 1) await db.commit(() => spool.append(event()));
  };
  const kept = () =>
    db.all('SELECT incarnation, sequence FROM spool ORDER BY position').map((row) => Number(row['sequence']));

  it('gives an id and a time of the same millisecond', async () => {
    const spool = open();
    await append(spool, 1);
    const [first] = spool.next(1);
    expect(Number.parseInt((first?.id ?? '').replaceAll('-', '').slice(0, 12), 16)).toBe(
      Date.parse(first?.time ?? ''),
    );
  });

  it('keeps what was published until it is confirmed, and goes on counting', async () => {
    const spool = open();
    await append(spool, 3);
    expect(spool.incarnations()).toEqual([]);
    await publishAll(spool);
    expect(spool.next(10)).toEqual([]);
    expect([spool.waiting, spool.kept]).toEqual([0, 3]);
    const [{ incarnation, last } = { incarnation: '', last: 0 }] = spool.incarnations();
    expect(last).toBe(3);
    await spool.confirm(newId(), 3);
    expect(kept()).toEqual([1, 2, 3]);
    await spool.confirm(incarnation, 2);
    expect(kept()).toEqual([3]);
    await spool.confirm(incarnation, 99);
    expect(spool.incarnations()).toEqual([]);
    await append(spool, 1);
    expect(spool.next(10).map((e) => e.sequence)).toEqual([4]);
  });

  it('confirms nothing that was not published', async () => {
    const spool = open();
    await append(spool, 2);
    await publishAll(spool);
    const [{ incarnation } = { incarnation: '' }] = spool.incarnations();
    await append(spool, 2);
    await spool.confirm(incarnation, 4);
    expect(kept()).toEqual([3, 4]);
    expect(spool.incarnations()).toEqual([]);
  });

  it('publishes again before all others what is missing, and says what is gone', async () => {
    const spool = open();
    await append(spool, 4);
    const before = await publishAll(spool);
    const [{ incarnation } = { incarnation: '' }] = spool.incarnations();
    await spool.confirm(incarnation, 1);
    await append(spool, 1);
    expect(
      await spool.again(incarnation, [
        [3, 3],
        [1, 2],
      ]),
    ).toEqual([2, 3]);
    // Asked for once more before it went out, it still goes out once.
    await spool.again(incarnation, [[3, 3]]);
    expect(spool.next(10).map((e) => [e.sequence, e.refills])).toEqual([
      [2, 1],
      [3, 1],
      [5, 0],
    ]);
    expect(spool.next(1)[0]).toEqual({ ...before[1], refills: 1 });
    expect(spool.incarnations()).toEqual([{ incarnation, last: 4 }]);
    await publishAll(spool);
    expect(spool.incarnations()).toEqual([{ incarnation, last: 5 }]);
    await spool.again(incarnation, [[2, 2]]);
    expect(spool.next(10).map((e) => e.refills)).toEqual([2]);
  });

  it('hands the next start of the producer what was not confirmed, under its own numbers', async () => {
    const first = open();
    await append(first, 2);
    await db.commit(() => first.markPublished(first.next(1)));
    db.close();
    db = new SpoolFile(join(folder, 'spool.sqlite'));
    const second = open();
    await append(second, 1);
    const events = second.next(10);
    expect(events.map((e) => e.sequence)).toEqual([2, 1]);
    expect(new Set(events.map((e) => e.incarnation)).size).toBe(2);
    expect([second.waiting, second.kept]).toEqual([2, 3]);
    await publishAll(second);
    expect(second.incarnations().map(({ last }) => last)).toEqual([2, 1]);
    const [{ incarnation } = { incarnation: '' }] = second.incarnations();
    await second.confirm(incarnation, 2);
    expect(kept()).toEqual([1]);
  });

  it('says when it is full of what is not confirmed, and still takes what must be told', async () => {
    const spool = open();
    await append(spool, 3);
    await publishAll(spool);
    expect(spool.hasRoom).toBe(false);
    await append(spool, 1);
    const [{ incarnation } = { incarnation: '' }] = spool.incarnations();
    await spool.confirm(incarnation, 2);
    expect(spool.hasRoom).toBe(true);
  });

  it('lets go of many, a thousand at a time', async () => {
    const spool = open();
    await db.commit(() => {
      for (let i = 0; i < 2500; i += 1) spool.append(event());
    });
    for (;;) {
      const events = spool.next(1000);
      if (events.length === 0) break;
      await db.commit(() => spool.markPublished(events));
    }
    const [{ incarnation } = { incarnation: '' }] = spool.incarnations();
    await spool.confirm(incarnation, 2499);
    expect(kept()).toEqual([2500]);
  });

  it('refuses what could not be encoded, so that nothing waits behind it for ever', async () => {
    const spool = open();
    await expect(db.commit(() => spool.append({ ...event(), actor: 'nobody' }))).rejects.toThrow();
    await expect(db.commit(() => spool.append({ ...event(), subjectId: 'a.b' }))).rejects.toThrow();
    const wrong = { ...event(), data: { ...event().data, epoch: 0 } };
    await expect(db.commit(() => spool.append(wrong))).rejects.toThrow();
    expect(spool.next(10)).toEqual([]);
  });
});
