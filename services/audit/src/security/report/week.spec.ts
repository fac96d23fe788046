import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { rangeOf, weekOf, weeksBefore } from './week.js';

describe('weeks', () => {
  it.each([
    ['2026-11-21T12:00:00Z', '2026-W47', '2026-11-16'],
    ['2026-01-01T00:00:00Z', '2026-W01', '2025-12-29'],
    ['2027-01-03T23:59:59.999Z', '2026-W53', '2026-12-28'],
    ['2027-01-04T00:00:00Z', '2027-W01', '2027-01-04'],
    ['2024-12-30T00:00:00Z', '2025-W01', '2024-12-30'],
  ])('%s is in %s', (instant, week, monday) => {
    const range = weekOf(Date.parse(instant));
    expect(range.week).toBe(week);
    expect(range.from.toISOString()).toBe(`${monday}T00:00:00.000Z`);
  });

  it('are found again by their name, follow each other, and hold their instants', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: Date.UTC(2200, 0, 1) }), (ms) => {
        const range = weekOf(ms);
        expect(rangeOf(range.week)).toEqual(range);
        expect(weekOf(range.to.getTime()).from).toEqual(range.to);
        expect(range.from.getTime() <= ms && ms < range.to.getTime()).toBe(true);
        expect(weeksBefore(ms, 2).map(({ to }) => to.getTime())).toEqual([
          range.from.getTime() - 7 * 86_400_000,
          range.from.getTime(),
        ]);
      }),
    );
  });

  it('that a year does not have are none', () => {
    expect(rangeOf('2025-W53')).toBeNull();
    expect(rangeOf('2026-W53')).not.toBeNull();
  });
});
