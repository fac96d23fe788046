import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { leaseIsSurelyOver, leaseSurelyOverMs } from './lease.rule.js';

/**
 * Two machines whose clocks run wrong by at most rho, in the same real time. The agent kills its bot when
 * T(1-rho) - M have passed on its clock since it sent the heartbeat; by M later at most, it is dead.
 */
const world = fc
  .record({
    leaseTtlMs: fc.integer({ min: 1000, max: 600_000 }),
    leaseClockDrift: fc.double({ min: 0.0005, max: 0.1, noNaN: true }),
    leaseLockDelayMs: fc.integer({ min: 0, max: 10_000 }),
    killMs: fc.integer({ min: 0, max: 500 }),
    /** Real time from the sending of the heartbeat until the leader has processed it. */
    transitMs: fc.double({ min: 0, max: 100_000, noNaN: true }),
    agentError: fc.double({ min: -1, max: 1, noNaN: true }),
    leaderError: fc.double({ min: -1, max: 1, noNaN: true }),
  })
  .map((w) => ({
    ...w,
    agentRate: 1 + w.agentError * w.leaseClockDrift,
    leaderRate: 1 + w.leaderError * w.leaseClockDrift,
  }));

describe('the lease rule', () => {
  it('gives an account away only after the bot is dead, whatever the clocks within rho and the network', () => {
    fc.assert(
      fc.property(world, (w) => {
        const { leaseTtlMs, leaseClockDrift, killMs, transitMs, agentRate, leaderRate } = w;
        const killedAt = (leaseTtlMs * (1 - leaseClockDrift) - killMs) / agentRate;
        const deadAt = Math.max(0, killedAt) + killMs;
        const freeAt = transitMs + leaseSurelyOverMs(w) / leaderRate;
        // A lease shorter than the kill was never begun.
        fc.pre(leaseTtlMs * (1 - leaseClockDrift) > killMs);
        // But for the rounding of floating point numbers.
        expect(freeAt - deadAt).toBeGreaterThan(-1e-6);
      }),
    );
  });

  it('counts from whichever is later, the last renewal or the beginning of the term', () => {
    const terms = { leaseTtlMs: 1000, leaseClockDrift: 0.001, leaseLockDelayMs: 99 };
    expect(leaseSurelyOverMs(terms)).toBe(1100);
    expect(leaseIsSurelyOver(terms, 1600, 500, 0)).toBe(true);
    expect(leaseIsSurelyOver(terms, 1599, 500, 0)).toBe(false);
    expect(leaseIsSurelyOver(terms, 1600, 400, 501)).toBe(false);
    expect(leaseIsSurelyOver(terms, 1600, null, 501)).toBe(false);
    expect(leaseIsSurelyOver(terms, 1601, null, 501)).toBe(true);
  });
});
