import { command_wait_ms_max } from '#libs/contracts';
import { z } from 'zod';
import type { PlacementStrategy } from './placement/placement.score.js';

/** DI token of a `RuntimeSettings`. */
export const RUNTIME_SETTINGS = Symbol('RuntimeSettings');
/** DI token of a `LeadershipDatabase`. */
export const LEADERSHIP_DATABASE = Symbol('LeadershipDatabase');

/** Where the leader's row is, and who we are in it. */
export interface LeadershipDatabase {
  readonly connectionString: string;
  /** Names this process in the row: `<instance>/<process id>/<made up at the start>`. */
  readonly holder: string;
}

/** Fields for the configuration of the service; each has a default that suits production. */
export const runtimeConfigFields = {
  /** T of LEASES: how long a renewed lease lasts from the moment the agent sent the heartbeat. */
  leaseTtlMs: z.int().min(1000).max(600_000).default(15_000),
  /** Heartbeats an agent is asked to send in a lease. */
  heartbeatsPerLease: z.int().min(2).max(50).default(5),
  /** rho of LEASES: by how much the clocks of a host and the scheduler may run apart; at least 0.0005. */
  leaseClockDrift: z.number().min(0.0005).max(0.1).default(0.001),
  /** L of LEASES: how long a scheduler may lead after it sent the last renewal that was written. */
  leaderLeaseMs: z.int().min(500).max(60_000).default(5000),
  /** How often the leader renews that. */
  leaderRenewMs: z.int().min(50).max(20_000).default(1000),
  /** Wait of a standby beyond the end of the leader's lease. */
  leaderTakeoverMarginMs: z.int().min(100).max(60_000).default(500),
  /**
   * Wait beyond the end of a lease before the account is given away. With the agents' `leaseMarginMs` it covers what a
   * dead bot's last order may still be under way: the kernel keeps a packet for up to 3 s while it looks for its
   * neighbour, whatever became of the socket. Below 1000 ms only where no order crosses a network.
   */
  leaseLockDelayMs: z.int().min(0).max(600_000).default(1000),
  /** Heartbeats in which a host may leave out what it should have, before that counts as gone. */
  heartbeatsMissingMax: z.int().min(1).max(100).default(3),
  /**
   * How long a host may be ahead of what its events have told, before its heartbeats are believed instead. Events that
   * are lost cost as long, and a heartbeat more.
   */
  advancePatienceMs: z.int().min(0).max(600_000).default(3000),
  /**
   * Who may join as a host that is not known yet: whoever has the token of an invitation (`hosts.invite`), or, with
   * `open`, everyone who can send the registration. `open` is for tests.
   */
  hostJoin: z.enum(['token', 'open']).default('token'),
  /** Longest time a target may take to make ready what a bot needs that is to move there. */
  movePrepareMs: z.int().min(1000).max(3_600_000).default(120_000),
  /** Bots on their way to one host at a time. */
  movesPerTargetMax: z.int().min(1).max(100).default(10),
  placementStrategy: z.enum(['spread', 'binpack']).default('spread'),
  /** A bot that has waited this long in the queue goes before one of a priority higher by one. */
  queueAgeingMs: z.int().min(1000).max(86_400_000).default(30_000),
  /** Allocations made in one transaction. */
  placementBatch: z.int().min(1).max(1000).default(200),
  /** How long a command may be carried out, from when it was made. */
  commandTtlMs: z.int().min(10_000).max(command_wait_ms_max).default(300_000),
  /**
   * How long an allocation token is good for; the secrets service asks for every grant whether it is live. Long, because
   * a bot that is begun again in place needs another grant, however long it has run; without one it is placed anew.
   */
  allocationTokenTtlMs: z
    .int()
    .min(60_000)
    .max(30 * 86_400_000)
    .default(30 * 86_400_000),
  /** First wait before a command is sent again when nothing came of it; doubles up to the maximum. */
  commandResendMs: z.int().min(1000).max(600_000).default(5000),
  commandResendMaxMs: z.int().min(1000).max(600_000).default(60_000),
  /**
   * How often a start is sent to a host that is heard and does not take it up, before that allocation is given up as
   * rejected: about five minutes with the waits above.
   */
  commandSendsMax: z.int().min(2).max(100).default(9),
  /**
   * Ended allocations are kept this long, and the newest of each account longer. Longer than events are on their
   * stream, so that none comes for an allocation that is forgotten.
   */
  allocationsKeptDays: z.int().min(8).max(36_500).default(30),
  allocationsKeptPerAccount: z.int().min(1).max(1000).default(20),
  /** Ended operations and rollouts, and invitations that are over, are kept this long. */
  operationsKeptDays: z.int().min(2).max(36_500).default(30),
  /** Between two looks for rows that are older. */
  pruneIntervalMs: z.int().min(1000).max(86_400_000).default(300_000),
  /** Longest time between two passes of the reconciler. */
  reconcileIntervalMs: z.int().min(10).max(60_000).default(1000),
  /** Shortest time between two passes, so that many changes make one batch. */
  reconcileQuietMs: z.int().min(0).max(10_000).default(25),
};

const RuntimeConfig = z.object(runtimeConfigFields);

/** What the runtime of the scheduler goes by; times in milliseconds. */
export interface RuntimeSettings extends z.output<typeof RuntimeConfig> {
  readonly heartbeatIntervalMs: number;
  readonly placementStrategy: PlacementStrategy;
}

/** The settings that follow from a configuration that has `runtimeConfigFields`; without one, the defaults. */
export function runtimeSettings(config: z.input<typeof RuntimeConfig> = {}): RuntimeSettings {
  const parsed = RuntimeConfig.parse(config);
  return {
    ...parsed,
    // One renewal that is late must not cost the lead.
    leaderRenewMs: Math.min(parsed.leaderRenewMs, Math.floor(parsed.leaderLeaseMs / 3)),
    heartbeatIntervalMs: Math.max(100, Math.floor(parsed.leaseTtlMs / parsed.heartbeatsPerLease)),
  };
}
