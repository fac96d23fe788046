import { describe, expect, it } from '@jest/globals';
import { distributionOf } from './statistics.js';

describe('distributionOf', () => {
  it('gives figures that were measured, whatever their order', () => {
    const durations = Array.from({ length: 100 }, (_, n) => 100 - n);
    expect(distributionOf(durations)).toEqual({ n: 100, min_ms: 1, p50_ms: 50, p99_ms: 99, max_ms: 100 });
    expect(distributionOf([7])).toEqual({ n: 1, min_ms: 7, p50_ms: 7, p99_ms: 7, max_ms: 7 });
    expect(distributionOf([])).toBeNull();
  });
});
