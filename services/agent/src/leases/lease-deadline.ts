/**
 * How far two clocks that are not steered together may drift apart, as a fraction. LEASES asks for at least this;
 * crystals are an order of magnitude better.
 */
export const clock_drift_max = 0.0005;

export interface LeaseGranted {
  /** CLOCK_BOOTTIME just before the heartbeat was sent, milliseconds. */
  readonly sentBoottimeMs: number;
  readonly leaseTtlMs: number;
  /** What it takes to stop a bot for certain, milliseconds. */
  readonly marginMs: number;
}

/**
 * When a lease ends on this host, whole milliseconds on CLOCK_BOOTTIME:
 *
 *   t_send + T * (1 - rho) - M
 *
 * It counts from the moment the heartbeat was *sent*: the scheduler counts from when it processed it, which is later,
 * and gives the account away only after T * (1 + rho) from there. Rounded down, because early is safe.
 */
export function leaseDeadlineMs({ sentBoottimeMs, leaseTtlMs, marginMs }: LeaseGranted): number {
  return Math.floor(sentBoottimeMs + leaseTtlMs * (1 - clock_drift_max) - marginMs);
}
