import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { StartLimit, type StartWork } from './start-limit.js';

/** An engine that works on `capacity` things at a time: more take longer, and none gets done sooner. */
function drive(limit: StartLimit, rounds: number, capacity: number, alone_ms = 200, used = Infinity): void {
  for (let round = 0; round < rounds; round += 1) {
    const parallel = Math.min(limit.limit, used);
    limit.done({ work: 'start', took_ms: alone_ms * Math.max(1, parallel / capacity), parallel });
  }
}

describe('StartLimit', () => {
  it('settles a little above what the engine does at a time, from below and from above', () => {
    for (const capacity of [2, 4, 10]) {
      const limit = new StartLimit({ min: 1, max: 64 });
      limit.done({ work: 'start', took_ms: 200, parallel: 1 });
      drive(limit, 500, capacity);
      expect(limit.limit).toBeGreaterThanOrEqual(capacity);
      expect(limit.limit).toBeLessThanOrEqual(capacity + 4);
    }
  });

  it('follows an engine that gets slower and faster again', () => {
    const limit = new StartLimit({ min: 1, max: 64 });
    limit.done({ work: 'start', took_ms: 200, parallel: 1 });
    drive(limit, 400, 12);
    const before = limit.limit;
    drive(limit, 60, 2);
    expect(limit.limit).toBeLessThan(before);
    // Three times as slow for good, and with as much room: a few at a time until some bursts have begun.
    drive(limit, 200, 12, 600);
    expect(limit.limit).toBeGreaterThanOrEqual(3);
    drive(limit, 60, 12, 600, 1);
    drive(limit, 200, 12, 600);
    expect(limit.limit).toBeGreaterThanOrEqual(12);
  });

  it('is halved when the engine is not done in time, once for all that were under way', () => {
    const limit = new StartLimit({ min: 1, max: 64 });
    drive(limit, 2000, 16);
    const before = limit.limit;
    for (let each = 0; each < before / 2; each += 1) limit.late();
    expect(limit.limit).toBe(Math.floor(before / 2));
    drive(limit, before, 16);
    limit.late();
    expect(limit.limit).toBeLessThan(before / 2 + 2);
  });

  it('does not grow while nobody uses it up', () => {
    const limit = new StartLimit({ min: 1, max: 64 });
    const before = limit.limit;
    drive(limit, 500, 64, 200, before - 1);
    expect(limit.limit).toBe(before);
  });

  it('compares each kind of work with itself', () => {
    const limit = new StartLimit({ min: 1, max: 8 });
    const works: readonly [StartWork, number][] = [
      ['network', 150],
      ['create', 40],
      ['start', 400],
    ];
    for (let each = 0; each < 300; each += 1)
      for (const [work, took_ms] of works) limit.done({ work, took_ms, parallel: limit.limit });
    expect(limit.limit).toBe(8);
  });

  it('stays within its bounds, whatever it is told', () => {
    const sample = fc.record({
      took_ms: fc.double({ min: 0, max: 1e6, noNaN: true }),
      parallel: fc.integer({ min: 1, max: 100 }),
      late: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(sample, { maxLength: 300 }), (samples) => {
        const limit = new StartLimit({ min: 2, max: 9 });
        for (const { took_ms, parallel, late } of samples) {
          if (late) limit.late();
          else limit.done({ work: 'create', took_ms, parallel });
          if (!Number.isInteger(limit.limit) || limit.limit < 2 || limit.limit > 9) return false;
        }
        return true;
      }),
    );
  });

  it.each([
    { min: 0, max: 4 },
    { min: 5, max: 4 },
    { min: 1, max: 1.5 },
  ])('refuses the bounds %j', (bounds) => {
    expect(() => new StartLimit(bounds)).toThrow(RangeError);
  });
});
