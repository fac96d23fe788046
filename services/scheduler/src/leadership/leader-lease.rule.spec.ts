import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { leaderLeaseLeftMs, takeoverWaitMs } from './leader-lease.rule.js';

const terms = { leaderLeaseMs: 5000, leaseClockDrift: 0.001, leaderTakeoverMarginMs: 500 };

describe('the lease of the leader', () => {
  it('is over L after the renewal was sent, less the step of CLOCK_BOOTTIME', () => {
    const sent = { monotonicMs: 1000, boottimeMs: 1000 };
    expect(leaderLeaseLeftMs(terms, sent, { monotonicMs: 5989, boottimeMs: 5989 })).toBe(1);
    expect(leaderLeaseLeftMs(terms, sent, { monotonicMs: 5990, boottimeMs: 5990 })).toBe(0);
  });

  it('is over by whichever clock went further: a suspended machine, and one whose boot time cannot be read', () => {
    const sent = { monotonicMs: 1000, boottimeMs: 1000 };
    expect(leaderLeaseLeftMs(terms, sent, { monotonicMs: 1001, boottimeMs: 61_000 })).toBeLessThan(0);
    expect(leaderLeaseLeftMs(terms, sent, { monotonicMs: 61_000, boottimeMs: 1001 })).toBeLessThan(0);
  });
});

describe('the wait of a candidate', () => {
  it('is L, the drift and the margin', () => {
    expect(takeoverWaitMs(terms)).toBe(5505);
  });

  it('ends after every lease it could have overlooked, whatever the clocks within the drift', () => {
    const rate = fc.double({ min: 1 - 0.0005, max: 1 + 0.0005, noNaN: true });
    fc.assert(
      fc.property(rate, rate, fc.integer({ min: 500, max: 60_000 }), (leader, candidate, leaderLeaseMs) => {
        const rule = { ...terms, leaderLeaseMs };
        // In true time: the renewal is seen no earlier than it is sent.
        const leaseEnds_ms = leaderLeaseMs / leader;
        const takesOver_ms = takeoverWaitMs(rule) / candidate;
        expect(takesOver_ms).toBeGreaterThan(leaseEnds_ms);
      }),
    );
  });
});
