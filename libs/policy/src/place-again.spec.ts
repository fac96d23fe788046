import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { EndReason, ReschedulePolicy } from '#libs/contracts';
import {
  carefulReasons,
  delay_careful_ms,
  failuresCounted,
  placeAgain,
  type Ending,
  type Placing,
} from './place-again.js';

const policy = ReschedulePolicy.parse({ jitter: 0 });
const anEnding = (over: Partial<Ending> = {}): Ending => ({
  state: 'failed',
  reason: 'exited',
  asked: false,
  ...over,
});
const now_ms = 100_000_000;
const failures = (count: number): number[] =>
  Array.from({ length: count }, (_, index) => now_ms - 1000 - index);

const delayOf = (placing: Placing): number => (placing.kind === 'later' ? placing.delayMs : NaN);

describe('placing a bot again', () => {
  it('waits 5 s, then twice as long each time, up to 5 min, without end', () => {
    const delays = [0, 1, 2, 3, 4, 5, 6, 1000].map((before) =>
      placeAgain(anEnding(), failures(before), now_ms, policy, 0),
    );
    expect(delays).toEqual(
      [5, 10, 20, 40, 80, 160, 300, 300].map((s) => ({ kind: 'later', delayMs: s * 1000, failed: true })),
    );
  });

  it.each([...carefulReasons])('waits at least a minute after %s', (reason) => {
    fc.assert(
      fc.property(
        fc.nat(100),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (before, chance) => {
          const hasty = ReschedulePolicy.parse({ delayMs: 1000, delayMaxMs: 1000 });
          const placing = placeAgain(anEnding({ reason }), failures(before), now_ms, hasty, chance);
          expect(delayOf(placing)).toBeGreaterThanOrEqual(delay_careful_ms);
        },
      ),
    );
  });

  it('counts ending by itself too, so that no loop has no delay', () => {
    const ending = anEnding({ state: 'stopped', reason: 'exited' });
    expect(placeAgain(ending, [], now_ms, policy, 0)).toEqual({ kind: 'later', delayMs: 5000, failed: true });
  });

  it('is free after what was asked for, and after a host was lost', () => {
    const exhausted = ReschedulePolicy.parse({ attempts: 0 });
    for (const ending of [
      anEnding({ state: 'stopped', reason: 'asked', asked: true }),
      anEnding({ state: 'failed', reason: 'exited', asked: true }),
      anEnding({ state: 'lost', reason: 'host-lost' }),
    ]) {
      expect(placeAgain(ending, failures(5), now_ms, exhausted, 0)).toEqual({ kind: 'now' });
    }
  });

  it('waits after an orderly stop by a host that goes down, without counting it', () => {
    const ending = anEnding({ state: 'stopped', reason: 'asked' });
    expect(placeAgain(ending, failures(7), now_ms, policy, 0)).toEqual({
      kind: 'later',
      delayMs: 5000,
      failed: false,
    });
  });

  it('gives up with one failure more than its attempts, and forgives what is older than its window', () => {
    const twice = ReschedulePolicy.parse({ attempts: 2, windowMs: 60_000, jitter: 0 });
    const earlier = [now_ms - 50_000, now_ms - 20_000];
    expect(placeAgain(anEnding(), earlier, now_ms, twice, 0)).toEqual({ kind: 'give-up' });
    expect(placeAgain(anEnding(), earlier, now_ms + 10_000, twice, 0)).toMatchObject({ kind: 'later' });
    expect(failuresCounted(earlier, now_ms, twice)).toBe(3);
    expect(failuresCounted(earlier, now_ms + 10_000, twice)).toBe(2);
  });

  it('does something definite after every way to end', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('stopped' as const, 'failed' as const, 'lost' as const),
        fc.constantFrom(...EndReason.options, null),
        fc.boolean(),
        fc.array(fc.integer({ min: 0, max: now_ms })),
        (state, reason, asked, before) => {
          const placing = placeAgain({ state, reason, asked }, before, now_ms, policy, 0.5);
          // A policy without a bound never gives up.
          expect(placing.kind).not.toBe('give-up');
          if (placing.kind === 'now') expect(asked || state === 'lost').toBe(true);
          else expect(delayOf(placing)).toBeGreaterThanOrEqual(policy.delayMs);
        },
      ),
    );
  });
});
