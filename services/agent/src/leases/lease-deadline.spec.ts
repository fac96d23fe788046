import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { clock_drift_max, leaseDeadlineMs } from './lease-deadline.js';

describe('the deadline of a lease', () => {
  it('counts from the sending, less drift and margin, rounded down', () => {
    const deadline = leaseDeadlineMs({ sentBoottimeMs: 100_000, leaseTtlMs: 15_000, marginMs: 1500 });
    expect(deadline).toBe(100_000 + 15_000 - 8 - 1500);
  });

  it('is a whole number that never lies behind the exact one', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 ** 40 }),
        fc.integer({ min: 1000, max: 600_000 }),
        fc.integer({ min: 0, max: 60_000 }),
        (sentBoottimeMs, leaseTtlMs, marginMs) => {
          const deadline = leaseDeadlineMs({ sentBoottimeMs, leaseTtlMs, marginMs });
          expect(Number.isInteger(deadline)).toBe(true);
          expect(deadline).toBeLessThanOrEqual(
            sentBoottimeMs + leaseTtlMs * (1 - clock_drift_max) - marginMs,
          );
        },
      ),
    );
  });

  it('is over before the scheduler may give the account away, however the clocks drift', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2000, max: 600_000 }),
        fc.integer({ min: 0, max: 5000 }),
        fc.double({ min: -clock_drift_max, max: clock_drift_max, noNaN: true }),
        fc.double({ min: -clock_drift_max, max: clock_drift_max, noNaN: true }),
        (leaseTtlMs, transit_ms, agentDrift, schedulerDrift) => {
          // True time 0 is the sending. The agent's clock runs at 1 + agentDrift of true time.
          const deadline = leaseDeadlineMs({ sentBoottimeMs: 0, leaseTtlMs, marginMs: 500 });
          const trueEnd_ms = deadline / (1 + agentDrift);
          // The scheduler processes later and waits T (1 + rho) on its own clock.
          const trueRegrant_ms = transit_ms + (leaseTtlMs * (1 + clock_drift_max)) / (1 + schedulerDrift);
          expect(trueEnd_ms).toBeLessThan(trueRegrant_ms);
        },
      ),
    );
  });
});
