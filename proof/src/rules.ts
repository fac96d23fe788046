import { Policies } from '#libs/contracts';
import type { LeaseKeeper } from '../../services/agent/src/leases/lease-keeper.js';
import type { SchedulerConfig } from '../../services/scheduler/src/scheduler.config.js';
import { goodLink, type LinkQuality } from './simulated-network.js';
import type { RuleBearing } from './simulated-scheduler.js';

/** What the world is like and which rules hold in it. Tests take rules away to see that the property needs them. */
export interface Rules {
  readonly scheduler: Partial<SchedulerConfig>;
  /** M */
  readonly leaseMarginMs: number;
  readonly heartbeatTimeoutMs: number;
  /** How far clocks are from true time, as a fraction. */
  readonly drift: number;
  /** From the end of a lease to the death of the process group. */
  readonly killMs: number;
  /** How long an order is on its way to the broker. */
  readonly orderMs: number;
  readonly supervised: boolean;
  readonly link: LinkQuality;
  readonly policies: Policies;
  readonly leadership?: (original: RuleBearing) => Partial<RuleBearing>;
  readonly leaseKeeper?: typeof LeaseKeeper;
}

const ttl_ms = 4000;

/** The rules as they are, over times that are a little shorter than in production. */
export const rulesInForce: Rules = {
  scheduler: {
    leaseTtlMs: ttl_ms,
    heartbeatsPerLease: 4,
    leaseClockDrift: 0.0005,
    leaseLockDelayMs: 300,
    leaderLeaseMs: 2500,
    leaderRenewMs: 800,
    leaderTakeoverMarginMs: 250,
    reconcileIntervalMs: 1000,
    advancePatienceMs: 1000,
    commandResendMs: 1000,
    commandResendMaxMs: 4000,
  },
  leaseMarginMs: 600,
  heartbeatTimeoutMs: 700,
  drift: 0.0005,
  killMs: 250,
  orderMs: 300,
  supervised: true,
  link: goodLink,
  policies: Policies.parse({ stopGraceMs: 500 }),
};
