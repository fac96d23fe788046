import { describe, expect, it } from '@jest/globals';
import { VirtualClock, waitFor } from '#libs/testing';
import { signal } from '../testing/fleet.fixture.js';
import { Suspects } from './suspects.js';
import { WorkQueue } from './work-queue.js';

const batch = { max: 3, waitMs: 50 };

function recorded(options: { concurrency: number; batch?: typeof batch; alone?: (n: number) => boolean }) {
  const clock = new VirtualClock();
  const groups: number[][] = [];
  const ends: (() => void)[] = [];
  const queue = new WorkQueue<number>(
    {
      concurrency: options.concurrency,
      batch: options.batch,
      isAlone: options.alone ?? (() => false),
      work: async (group) => {
        groups.push(group);
        const end = signal();
        ends.push(() => end.resolve());
        await end.promise;
      },
    },
    clock,
  );
  return { clock, groups, queue, endFirst: () => ends.shift()?.() };
}

describe('a work queue', () => {
  it('hands out one at a time to each worker, in order', async () => {
    const { queue, groups, endFirst } = recorded({ concurrency: 2 });
    for (const n of [1, 2, 3]) queue.add(n);
    expect(groups).toEqual([[1], [2]]);
    endFirst();
    await waitFor(() => groups.length === 3);
    expect(groups[2]).toEqual([3]);
  });

  it('hands out a full batch at once and a partial one after its wait', async () => {
    const { queue, groups, clock, endFirst } = recorded({ concurrency: 1, batch });
    for (const n of [1, 2]) queue.add(n);
    await clock.advance(49);
    expect(groups).toEqual([]);
    await clock.advance(1);
    expect(groups).toEqual([[1, 2]]);
    for (const n of [3, 4, 5, 6]) queue.add(n);
    endFirst();
    await waitFor(() => groups.length === 2);
    expect(groups[1]).toEqual([3, 4, 5]);
  });

  it('hands out alone what is to be alone, before the others', async () => {
    const { queue, groups, endFirst } = recorded({ concurrency: 1, batch, alone: (n) => n >= 100 });
    queue.add(100);
    for (const n of [1, 2, 101, 3]) queue.add(n);
    endFirst();
    await waitFor(() => groups.length === 2);
    endFirst();
    await waitFor(() => groups.length === 3);
    expect(groups).toEqual([[100], [101], [1, 2, 3]]);
  });

  it('gives back what nobody has begun, and tells when all is quiet', async () => {
    const { queue, groups, endFirst } = recorded({ concurrency: 1 });
    for (const n of [1, 2, 3]) queue.add(n);
    expect(queue.clear()).toEqual([2, 3]);
    const idle = queue.idle();
    endFirst();
    await idle;
    await queue.idle();
    expect(groups).toEqual([[1]]);
  });
});

describe('suspects', () => {
  it('are given up only for failures between which others went through', () => {
    const suspects = new Suspects();
    for (let time = 0; time < 50; time++) expect(suspects.failedAlone(1, time)).toBe(false);
    const verdicts = [];
    for (let time = 100; time < 110; time++) {
      suspects.success([{ seq: 2 }], time);
      verdicts.push(suspects.failedAlone(1, time + 0.5));
    }
    expect(verdicts.indexOf(true)).toBe(4);
  });

  it('are forgotten once they succeed', () => {
    const suspects = new Suspects();
    for (let time = 0; time < 4; time++) {
      suspects.success([{ seq: 2 }], time);
      suspects.failedAlone(1, time + 0.5);
    }
    suspects.success([{ seq: 1 }], 10);
    expect(suspects.failedAlone(1, 11)).toBe(false);
  });
});
