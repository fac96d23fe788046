import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newId } from '#libs/contracts';
import { VirtualClock, anAllocationEvent } from '#libs/testing';
import { AgentDatabase } from '../state/agent.database.js';
import { EventSpool, type RecordedEvent } from './event-spool.js';

describe('EventSpool', () => {
  let folder: string;
  let db: AgentDatabase;
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
    db = new AgentDatabase(join(folder, 'agent.sqlite'));
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
    expect(spool.oldest(10).map((e) => e.sequence)).toEqual([1, 2, 3]);
  });

  it('goes on counting after what was published is gone', async () => {
    const spool = open();
    await db.commit(() => spool.append(event()));
    await db.commit(() => spool.remove(spool.oldest(10).map((e) => e.position)));
    await db.commit(() => spool.append(event()));
    expect(spool.oldest(10).map((e) => e.sequence)).toEqual([2]);
  });

  it('hands the next start of the agent what was not published, under its own numbers', async () => {
    const first = open();
    await db.commit(() => first.append(event()));
    await db.commit(() => first.append(event()));
    db.close();
    db = new AgentDatabase(join(folder, 'agent.sqlite'));
    const second = open();
    await db.commit(() => second.append(event()));
    const events = second.oldest(10);
    expect(events.map((e) => e.sequence)).toEqual([1, 2, 1]);
    expect(new Set(events.map((e) => e.incarnation)).size).toBe(2);
    expect(second.waiting).toBe(3);
  });

  it('says when it is full, and still takes what must be told', async () => {
    const spool = open();
    for (let i = 0; i < 3; i += 1) await db.commit(() => spool.append(event()));
    expect(spool.hasRoom).toBe(false);
    await db.commit(() => spool.append(event()));
    await db.commit(() => spool.remove(spool.oldest(2).map((e) => e.position)));
    expect(spool.hasRoom).toBe(true);
  });

  it('refuses what could not be encoded, so that nothing waits behind it for ever', async () => {
    const spool = open();
    await expect(db.commit(() => spool.append({ ...event(), actor: 'nobody' }))).rejects.toThrow();
    await expect(db.commit(() => spool.append({ ...event(), subjectId: 'a.b' }))).rejects.toThrow();
    const wrong = { ...event(), data: { ...event().data, epoch: 0 } };
    await expect(db.commit(() => spool.append(wrong))).rejects.toThrow();
    expect(spool.oldest(10)).toEqual([]);
  });
});
