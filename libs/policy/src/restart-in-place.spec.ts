import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { EndReason, RestartPolicy } from '#libs/contracts';
import { giveUpReasons } from './next-try.js';
import { neverAgainInPlace, restartInPlace, type AttemptHistory } from './restart-in-place.js';

const policy = RestartPolicy.parse({ jitter: 0 });
const history = (over: Partial<AttemptHistory> = {}): AttemptHistory => ({
  reason: 'exited',
  hopeless: false,
  now_ms: 1_000_000,
  restarts_ms: [],
  ...over,
});

describe('a restart in place', () => {
  it('comes three times by default, each after twice the time, and no fourth time', () => {
    const delays = [0, 1, 2, 3].map((before) => {
      const restarts_ms = Array.from({ length: before }, (_, index) => 999_000 + index);
      return restartInPlace(history({ restarts_ms }), policy, 0);
    });
    expect(delays).toEqual([
      { kind: 'again', delayMs: 1000 },
      { kind: 'again', delayMs: 2000 },
      { kind: 'again', delayMs: 4000 },
      { kind: 'give-up', why: giveUpReasons.usedUp },
    ]);
  });

  it.each([...neverAgainInPlace])('never comes after %s, whatever the policy', (reason) => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 20 }), fc.array(fc.nat()), (attempts, restarts_ms) => {
        const generous = RestartPolicy.parse({ attempts, windowMs: 86_400_000 });
        expect(restartInPlace(history({ reason, restarts_ms }), generous, 0)).toEqual({
          kind: 'give-up',
          why: giveUpReasons.neverAgain,
        });
      }),
    );
  });

  it('comes after every other reason, unless it is hopeless', () => {
    for (const reason of EndReason.options.filter((each) => !neverAgainInPlace.has(each))) {
      expect(restartInPlace(history({ reason }), policy, 0)).toMatchObject({ kind: 'again' });
      expect(restartInPlace(history({ reason, hopeless: true }), policy, 0)).toMatchObject({
        why: giveUpReasons.neverAgain,
      });
    }
  });
});

describe('a policy that is never used up', () => {
  it.each([
    { attempts: 20, delayMs: 60_000, delayMaxMs: 60_000, windowMs: 600_000 },
    { attempts: 3, delayMs: 1000, delayMaxMs: 60_000, windowMs: 6999 },
    { attempts: 5, backoff: 'constant', delayMs: 3000, windowMs: 14_999 },
    { delayMs: 5000, delayMaxMs: 4999 },
  ])('is refused: %j', (fields) => {
    expect(RestartPolicy.safeParse(fields).success).toBe(false);
  });

  it.each([
    { attempts: 3, delayMs: 1000, delayMaxMs: 60_000, windowMs: 7000 },
    { attempts: 5, backoff: 'constant', delayMs: 3000, windowMs: 15_000 },
    { attempts: 0, windowMs: 1000 },
  ])('and this is not one: %j', (fields) => {
    expect(RestartPolicy.safeParse(fields).error).toBeUndefined();
  });
});
