import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newId } from '#libs/contracts';
import { VirtualClock, anAllocationEvent, waitFor } from '#libs/testing';
import { EventSpool } from './event-spool.js';
import { SpoolFile } from './spool.file.js';
import { lacksRoom } from './sqlite.codes.js';

describe('a file whose disk is full', () => {
  let folder: string;
  let db: SpoolFile;
  let spool: EventSpool;
  const clock = new VirtualClock();

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tradefleet-spool-'));
    db = new SpoolFile(join(folder, 'spool.sqlite'));
    spool = new EventSpool(db, clock, { incarnation: newId(), events_max: 1_000_000 });
  });
  afterEach(async () => {
    db.close();
    await rm(folder, { recursive: true, force: true });
  });

  const append = () => {
    const data = anAllocationEvent();
    spool.append({
      type: 'tradefleet.allocation.running',
      subjectId: data.allocation,
      data,
      actor: 'user:test',
      traceparent: null,
    });
  };
  /** Appends until the file takes no more. */
  const fill = async () => {
    db.limitPages(Number(db.one('PRAGMA page_count')?.['page_count']));
    for (;;) {
      try {
        await db.commit(append);
      } catch (error) {
        return error;
      }
    }
  };
  const sequences = () =>
    db.all('SELECT sequence FROM spool ORDER BY position').map((row) => row['sequence']);

  it('refuses a commit as a whole, says why, and numbers without a gap afterwards', async () => {
    const fault = await fill();
    expect(lacksRoom(fault)).toBe(true);
    const before = sequences().length;
    const works = [1, 2, 3].map(async () => await db.commit(append));
    const outcomes = await Promise.allSettled(works);
    expect(outcomes.every((it) => it.status === 'rejected' && lacksRoom(it.reason))).toBe(true);
    expect(sequences()).toHaveLength(before);
    db.limitPages(null);
    await db.commit(append);
    expect(sequences()).toEqual(Array.from({ length: before + 1 }, (_, index) => index + 1));
  });

  it('is waited for with patience, while others are refused', async () => {
    await fill();
    const before = sequences().length;
    const never = new AbortController().signal;
    let done = false;
    const patient = db.commit(append, { clock, signal: never }).then(() => (done = true));
    await waitFor(() => clock.sleeping === 1);
    await expect(db.commit(append)).rejects.toMatchObject({ code: 'ERR_SQLITE_ERROR' });
    await clock.advance(10_000);
    await waitFor(() => clock.sleeping === 1);
    expect(done).toBe(false);
    db.limitPages(null);
    await clock.advance(10_000);
    await patient;
    expect(sequences()).toHaveLength(before + 1);
  });

  it('is waited for until the signal aborts', async () => {
    await fill();
    const enough = new AbortController();
    const patient = db.commit(append, { clock, signal: enough.signal });
    await waitFor(() => clock.sleeping === 1);
    enough.abort();
    await expect(patient).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('has room again for new events once old ones are confirmed', async () => {
    await fill();
    const events = spool.next(10_000);
    db.limitPages(null);
    await db.commit(() => spool.markPublished(events));
    db.limitPages(Number(db.one('PRAGMA page_count')?.['page_count']));
    const [{ incarnation, last } = { incarnation: '', last: 0 }] = spool.incarnations();
    await spool.confirm(incarnation, last);
    await db.commit(append);
    expect(sequences()).toEqual([last + 1]);
  });

  it('says of any other fault that it is none of room', () => {
    expect(lacksRoom(new Error('no'))).toBe(false);
    expect(lacksRoom(null)).toBe(false);
    expect(lacksRoom(Object.assign(new Error(''), { code: 'ENOSPC' }))).toBe(true);
    expect(lacksRoom(Object.assign(new Error(''), { errcode: 19 }))).toBe(false);
    expect(lacksRoom(Object.assign(new Error(''), { errcode: 10 | (3 << 8) }))).toBe(true);
  });
});

describe('SpoolFile', () => {
  it('says what to do when the file is of another process or no spool at all', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tradefleet-spool-'));
    const path = join(folder, 'spool.sqlite');
    const first = new SpoolFile(path);
    expect(() => new SpoolFile(path)).toThrow(/cannot be used: .*locked.* of one process alone/);
    first.close();
    expect(() => new SpoolFile(folder)).toThrow(/cannot be used/);
    await rm(folder, { recursive: true });
  });
});
