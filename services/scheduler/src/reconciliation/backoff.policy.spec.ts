import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { EndReason } from '#libs/contracts';
import {
  careful_reasons,
  delay_careful_ms,
  delay_first_ms,
  delay_max_ms,
  delayBeforeRetryMs,
  jitter_share,
  ran_well_ms,
  retryAfter,
  type Ending,
} from './backoff.policy.js';

const anEnding = (over: Partial<Ending> = {}): Ending => ({
  state: 'failed',
  reason: 'exited',
  asked: false,
  ranForMs: null,
  ...over,
});
/** The middle of the jitter: no change. */
const no_chance = 0.5;

describe('the delay before a retry', () => {
  it('doubles from the first one up to the maximum', () => {
    const delays = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1000].map((n) => delayBeforeRetryMs(n, 'exited'));
    expect(delays).toEqual([2, 4, 8, 16, 32, 64, 128, 256, 300, 300].map((s) => s * 1000));
  });

  it.each([...careful_reasons])('is at least a minute after %s', (reason) => {
    expect(delayBeforeRetryMs(1, reason)).toBe(delay_careful_ms);
    expect(delayBeforeRetryMs(20, reason)).toBe(delay_max_ms);
  });
});

describe('what follows from an ending', () => {
  it('a failure counts and delays', () => {
    expect(retryAfter(anEnding(), 0, no_chance)).toEqual({ failures: 1, delayMs: delay_first_ms });
    expect(retryAfter(anEnding(), 3, no_chance)).toEqual({ failures: 4, delayMs: 8 * delay_first_ms });
  });

  it('ending by itself counts too, so that no loop has no delay', () => {
    const ending = anEnding({ state: 'stopped', reason: 'exited' });
    expect(retryAfter(ending, 0, no_chance)).toEqual({ failures: 1, delayMs: delay_first_ms });
  });

  it('what was asked for is no failure', () => {
    const ending = anEnding({ state: 'stopped', reason: 'asked', asked: true });
    expect(retryAfter(ending, 2, no_chance)).toEqual({ failures: 2, delayMs: null });
  });

  it('an orderly stop by a host that goes down is no failure, and still delays', () => {
    const ending = anEnding({ state: 'stopped', reason: 'asked' });
    expect(retryAfter(ending, 0, no_chance)).toEqual({ failures: 0, delayMs: delay_first_ms });
    expect(retryAfter(ending, 7, no_chance)).toEqual({ failures: 7, delayMs: delay_first_ms });
  });

  it('a lost host is no failure of the bot', () => {
    expect(retryAfter(anEnding({ state: 'lost', reason: 'host-lost' }), 2, no_chance)).toEqual({
      failures: 2,
      delayMs: null,
    });
  });

  it('running well forgives what went before, a millisecond less does not', () => {
    expect(retryAfter(anEnding({ ranForMs: ran_well_ms }), 7, no_chance).failures).toBe(1);
    expect(retryAfter(anEnding({ ranForMs: ran_well_ms - 1 }), 7, no_chance).failures).toBe(8);
  });

  it('stays within the jitter around the delay, whatever the chance', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...EndReason.options),
        fc.nat(100),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (reason, failures, chance) => {
          const retry = retryAfter(anEnding({ reason }), failures, chance);
          const middle = delayBeforeRetryMs(failures + 1, reason);
          expect(retry.delayMs).toBeGreaterThanOrEqual(Math.floor(middle * (1 - jitter_share)));
          expect(retry.delayMs).toBeLessThanOrEqual(Math.ceil(middle * (1 + jitter_share)));
        },
      ),
    );
  });
});
