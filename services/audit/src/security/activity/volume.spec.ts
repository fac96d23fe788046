import { describe, expect, it } from '@jest/globals';
import { medianWithQuiet, volumeThreshold } from './volume.js';

const settings = { eventsMin: 100, factor: 5, hoursMin: 24 };

describe('the volume of a producer', () => {
  it('is measured by its median hour, in which quiet hours count', () => {
    expect(medianWithQuiet([], 0)).toBe(0);
    expect(medianWithQuiet([7], 1)).toBe(7);
    expect(medianWithQuiet([4, 2], 2)).toBe(3);
    expect(medianWithQuiet([30, 10, 20], 4)).toBe(15);
    expect(medianWithQuiet([1000], 3)).toBe(0);
  });

  it('is unusual beyond a multiple of that, and never below the least', () => {
    expect(volumeThreshold({ before: [40, 40], hoursKnown: 23 }, settings)).toBeNull();
    expect(volumeThreshold({ before: Array<number>(24).fill(40), hoursKnown: 24 }, settings)).toBe(200);
    expect(volumeThreshold({ before: [40, 40], hoursKnown: 24 }, settings)).toBe(100);
  });
});
