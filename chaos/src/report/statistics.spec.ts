import { describe, expect, it } from '@jest/globals';
import { distributionOf, grouped } from './statistics.js';

describe('distributionOf', () => {
  it('gives figures that were measured, whatever their order', () => {
    const durations = Array.from({ length: 100 }, (_, n) => 100 - n);
    expect(distributionOf(durations)).toEqual({ n: 100, min_ms: 1, p50_ms: 50, p99_ms: 99, max_ms: 100 });
    expect(distributionOf([7])).toEqual({ n: 1, min_ms: 7, p50_ms: 7, p99_ms: 7, max_ms: 7 });
    expect(distributionOf([])).toBeNull();
  });
});

describe('grouped', () => {
  it('keeps all of a key in their order', () => {
    const groups = grouped([3, 1, 4, 1, 5], (n) => (n % 2 === 0 ? 'even' : 'odd'));
    expect([...groups]).toEqual([
      ['odd', [3, 1, 1, 5]],
      ['even', [4]],
    ]);
  });
});
