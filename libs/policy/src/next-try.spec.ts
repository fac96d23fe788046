import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { delayBefore, giveUpReasons, nextTry, withinWindow, type Pace } from './next-try.js';

const chances = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const paces: fc.Arbitrary<Pace> = fc
  .record({
    attempts: fc.option(fc.integer({ min: 0, max: 20 }), { nil: null }),
    windowMs: fc.integer({ min: 1000, max: 3_600_000 }),
    delayMs: fc.integer({ min: 100, max: 10_000 }),
    backoff: fc.constantFrom('constant' as const, 'exponential' as const),
    more_ms: fc.nat(600_000),
    jitter: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  .map(({ more_ms, ...pace }) => ({ ...pace, delayMaxMs: pace.delayMs + more_ms }));
const aPace = (over: Partial<Pace> = {}): Pace => ({
  attempts: 3,
  windowMs: 60_000,
  delayMs: 1000,
  backoff: 'exponential',
  delayMaxMs: 5000,
  jitter: 0,
  ...over,
});

describe('the delay before a try', () => {
  it('doubles up to its bound', () => {
    expect([0, 1, 2, 3, 4, 1000].map((before) => delayBefore(aPace(), before, 0))).toEqual([
      1000, 2000, 4000, 5000, 5000, 5000,
    ]);
  });

  it('stays the same when it is constant', () => {
    const pace = aPace({ backoff: 'constant' });
    expect([0, 1, 7].map((before) => delayBefore(pace, before, 0))).toEqual([1000, 1000, 1000]);
  });

  it('is never shorter than was asked for, nor longer than its bound and all chance', () => {
    fc.assert(
      fc.property(paces, fc.nat(1000), chances, (pace, before, chance) => {
        const delay_ms = delayBefore(pace, before, chance);
        expect(delay_ms).toBeGreaterThanOrEqual(pace.delayMs);
        expect(delay_ms).toBeLessThanOrEqual(Math.round(pace.delayMaxMs * (1 + pace.jitter)));
      }),
    );
  });

  it('never gets shorter with another try', () => {
    fc.assert(
      fc.property(paces, fc.nat(100), chances, (pace, before, chance) => {
        expect(delayBefore(pace, before + 1, chance)).toBeGreaterThanOrEqual(
          delayBefore(pace, before, chance),
        );
      }),
    );
  });
});

describe('the window', () => {
  it('slides: a try is forgotten once it is older', () => {
    const tries = [0, 1000, 2000];
    expect(nextTry(tries, 59_999, aPace(), 0)).toEqual({ kind: 'give-up', why: giveUpReasons.usedUp });
    expect(nextTry(tries, 60_000, aPace(), 0)).toEqual({ kind: 'again', delayMs: 4000 });
    expect(nextTry(tries, 62_000, aPace(), 0)).toEqual({ kind: 'again', delayMs: 1000 });
  });

  it('forgets nothing that is in it, and keeps nothing that is not', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), fc.integer(), fc.integer({ min: 1 }), (tries, now, window) => {
        const kept = new Set(withinWindow(tries, now, window));
        for (const at of tries) expect(kept.has(at)).toBe(now - at < window);
      }),
    );
  });
});

describe('tries', () => {
  it('are never more within any window than the policy allows, however fast everything fails', () => {
    fc.assert(
      fc.property(
        paces.filter(({ attempts }) => attempts !== null),
        fc.array(fc.record({ runs_ms: fc.nat(100_000), chance: chances }), { minLength: 1, maxLength: 60 }),
        (pace, failures) => {
          const tries: number[] = [];
          let now_ms = 0;
          for (const { runs_ms, chance } of failures) {
            now_ms += runs_ms;
            const next = nextTry(tries, now_ms, pace, chance);
            if (next.kind === 'give-up') continue;
            tries.push(now_ms);
            now_ms += next.delayMs;
          }
          for (const from of tries) {
            const within = tries.filter((at) => at >= from && at - from < pace.windowMs);
            expect(within.length).toBeLessThanOrEqual(pace.attempts ?? Infinity);
          }
        },
      ),
    );
  });

  it('never end without a bound, and are none with a bound of none', () => {
    const many = Array.from({ length: 10_000 }, (_, index) => index);
    expect(nextTry(many, 10_000, aPace({ attempts: null }), 0)).toEqual({ kind: 'again', delayMs: 5000 });
    expect(nextTry([], 0, aPace({ attempts: 0 }), 0)).toEqual({
      kind: 'give-up',
      why: giveUpReasons.notAllowed,
    });
  });
});
