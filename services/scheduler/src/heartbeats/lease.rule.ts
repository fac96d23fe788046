/**
 * The leader's side of the lease (LEASES.md), as pure arithmetic on its own monotonic clock.
 *
 *   agent    t_send ----------------- t_send + T(1-rho) - M    it is dead by then
 *   leader          t_processed ------------------- t_processed + T(1+rho) + lock delay    the account may go
 *
 * `t_processed` is never before `t_send`, and T of a slow clock is at most T(1+rho) of a fast one; so the second
 * moment always comes after the first.
 */
export interface LeaseTerms {
  /** T */
  readonly leaseTtlMs: number;
  /** rho */
  readonly leaseClockDrift: number;
  readonly leaseLockDelayMs: number;
}

/** How long after the last answer a lease may still be believed in by its host. */
export const leaseSurelyOverMs = (terms: LeaseTerms): number =>
  Math.ceil(terms.leaseTtlMs * (1 + terms.leaseClockDrift) + terms.leaseLockDelayMs);

/**
 * Whether what was last renewed at `renewed_ms` has surely ended.
 * @param renewed_ms when the last answer was processed, or null when this leader gave none
 * @param leading_since_ms an earlier leader may have answered right up to then
 */
export const leaseIsSurelyOver = (
  terms: LeaseTerms,
  now_ms: number,
  renewed_ms: number | null,
  leading_since_ms: number,
): boolean => now_ms - Math.max(renewed_ms ?? -Infinity, leading_since_ms) >= leaseSurelyOverMs(terms);

/** How long the lease of one allocation lasts: its own, where that is longer than the fleet's. */
export const leaseTtlOf = (
  terms: Pick<LeaseTerms, 'leaseTtlMs'>,
  own_ms: number | null | undefined,
): number => Math.max(terms.leaseTtlMs, own_ms ?? 0);
