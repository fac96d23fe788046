import { beforeEach, describe, expect, it } from '@jest/globals';
import type { ProducerHeightRepository, KnownHeight } from './producer-height.repository.js';
import { ahead_max, SequenceHeights } from './sequence-heights.js';

const producer = { source: '/agent/h1', incarnation: 'i' };

describe('SequenceHeights', () => {
  let stored: KnownHeight[];
  let asked: number;
  let heights: SequenceHeights;

  beforeEach(() => {
    stored = [];
    asked = 0;
    const repository: Pick<ProducerHeightRepository, 'heights'> = {
      heights: async () => {
        asked += 1;
        return stored;
      },
    };
    heights = new SequenceHeights(repository as ProducerHeightRepository);
  });
  const farOff = async (...sequences: number[]) =>
    await heights.areFarOff(sequences.map((sequence) => ({ ...producer, sequence })));

  it('take any number first, then none that is far above', async () => {
    expect(await farOff(5_000_000)).toEqual([false]);
    expect(await farOff(3, 5_000_000 + ahead_max, 5_000_002 + 2 * ahead_max)).toEqual([false, false, true]);
    // Refused, it does not count as known.
    expect(await farOff(5_000_001 + 2 * ahead_max)).toEqual([true]);
  });

  it('know what the database knows, and ask it when they doubt alone', async () => {
    stored = [{ ...producer, upTo: 9, highest: 9, ranges: 1 }];
    expect(await farOff(ahead_max + 10)).toEqual([true]);
    expect(await farOff(10, 11, 12)).toEqual([false, false, false]);
    const before = asked;
    expect(await farOff(13, 14)).toEqual([false, false]);
    expect(asked).toBe(before);
    // Another process has recorded more.
    stored = [{ ...producer, upTo: 9, highest: 2 * ahead_max, ranges: 2 }];
    expect(await farOff(2 * ahead_max + 1)).toEqual([false]);
  });

  it('take of one that leaves out every other number only what makes its ranges fewer', async () => {
    await farOff(1);
    const every = (from: number) => Array.from({ length: 1000 }, (_, n) => from + 2 * n);
    expect((await farOff(...every(3))).includes(true)).toBe(false);
    stored = [{ ...producer, upTo: 1, highest: 30_001, ranges: 15_000 }];
    expect(await farOff(30_003, 20_000, 2, 4096)).toEqual([true, true, false, false]);
    stored = [{ ...producer, upTo: 30_001, highest: 30_001, ranges: 1 }];
    expect(await farOff(30_003)).toEqual([false]);
  });
});
