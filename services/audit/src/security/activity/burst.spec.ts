import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { addTimes, quiet } from './burst.js';

const rule = { threshold: 3, windowMs: 100 };

describe('bursts', () => {
  it('are so many within the window, wherever it begins', () => {
    expect(addTimes(quiet, [0, 90, 99], rule).bursts).toEqual([{ from: 0, to: 100, count: 3 }]);
    expect(addTimes(quiet, [50, 120, 149], rule).bursts).toEqual([{ from: 50, to: 150, count: 3 }]);
    expect(addTimes(quiet, [0, 90, 100], rule).bursts).toEqual([]);
    expect(addTimes(quiet, [0, 99], rule).bursts).toEqual([]);
  });

  it('are told of once a window, with all that is known of it', () => {
    const first = addTimes(quiet, [0, 1, 2, 3, 50], rule);
    expect(first.bursts).toEqual([{ from: 0, to: 100, count: 5 }]);
    expect(addTimes(first.state, [60, 70, 80, 99], rule).bursts).toEqual([]);
    expect(addTimes(first.state, [99, 100, 101, 102], rule).bursts).toEqual([
      { from: 100, to: 200, count: 3 },
    ]);
  });

  it('are found however the times come in portions', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 2000 }), { maxLength: 60 }),
        fc.array(fc.integer({ min: 1, max: 10 }), { minLength: 1, maxLength: 20 }),
        (times, portions) => {
          const sorted = [...times].sort((a, b) => a - b);
          const atOnce = addTimes(quiet, sorted, rule);
          let state = quiet;
          const froms: number[] = [];
          for (let at = 0, n = 0; at < sorted.length; n += 1) {
            const size = portions[n % portions.length] ?? 1;
            const step = addTimes(state, sorted.slice(at, at + size), rule);
            froms.push(...step.bursts.map(({ from }) => from));
            ({ state } = step);
            at += size;
          }
          expect(froms).toEqual(atOnce.bursts.map(({ from }) => from));
          expect(state).toEqual(atOnce.state);
          expect(state.recent.length).toBeLessThan(rule.threshold);
        },
      ),
    );
  });
});
