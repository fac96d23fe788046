import type { LeaseRules } from './lease.verdict.js';

/**
 * What services are set to, and what their waits are compared with: said here, once, so that a default that changes
 * does not make the comparison wrong. The drift of a host is not a setting (`services/agent/src/leases`).
 */
export const leaseSettings: Omit<LeaseRules, 'ttl_ms'> = {
  agentDrift: 0.0005,
  agentMargin_ms: 2250,
  drift: 0.001,
  lockDelay_ms: 1000,
  leaderLease_ms: 5000,
  takeoverMargin_ms: 500,
};

/** How long before the end of its lease a bot sends no order any more (`bot-fourni/permission.py`). */
const botMargin_ms = 1000;

/**
 * From the last order a bot may send to the first moment its account may be given away. An order that is longer under way
 * can arrive after one of the next epoch.
 */
export const orderSlack_ms = botMargin_ms + leaseSettings.agentMargin_ms + leaseSettings.lockDelay_ms;

export const agentLeaseEnvironment: NodeJS.ProcessEnv = {
  TRADEFLEET_LEASE_MARGIN_MS: String(leaseSettings.agentMargin_ms),
};

export const schedulerLeaseEnvironment = (ttl_ms: number): NodeJS.ProcessEnv => ({
  TRADEFLEET_LEASE_TTL_MS: String(ttl_ms),
  TRADEFLEET_LEASE_CLOCK_DRIFT: String(leaseSettings.drift),
  TRADEFLEET_LEASE_LOCK_DELAY_MS: String(leaseSettings.lockDelay_ms),
  TRADEFLEET_LEADER_LEASE_MS: String(leaseSettings.leaderLease_ms),
  TRADEFLEET_LEADER_TAKEOVER_MARGIN_MS: String(leaseSettings.takeoverMargin_ms),
});
