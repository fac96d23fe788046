import { Injectable } from '@nestjs/common';
import type { AllocationState, HostState, Labels, Policies, RuntimeName, RuntimeRef } from '#libs/contracts';
import { DataSource } from 'typeorm';
import { liveStatesSql } from '../allocations/allocation.states.sql.js';
import { queueTurnSql } from '../allocations/queue.order.sql.js';
import { hostsToAvoid, type RecentFailure } from '../allocations/bot.retry.js';
import { holdsRoomSql, liveMovesSql } from '../moves/move.states.sql.js';
import type { HeldRoom, HostFacts, PlacementRequest } from '../placement/fleet-snapshot.js';

/** An allocation that should end. */
export interface StopCandidate {
  readonly id: string;
  readonly reason: 'asked' | 'account-locked';
  readonly actor: string | null;
}

/** A bot that should run and does not. */
export interface IdleBot extends PlacementRequest {
  readonly generation: number;
  readonly queuedReason: string | null;
  /** Its definition is newer than its last allocation, or it never had one. */
  readonly fresh: boolean;
  readonly onHostLost: 'reschedule' | 'wait';
  readonly heldRoom: HeldRoom | null;
  readonly last: {
    readonly state: AllocationState;
    readonly host: string;
    readonly hostState: HostState;
  } | null;
}

/** An allocation on a host that is being drained, and which is neither told to stop nor on its way elsewhere. */
export interface DrainingAllocation extends PlacementRequest {
  readonly id: string;
  readonly host: string;
  readonly queuedReason: string | null;
  readonly drainBy: string;
  readonly drainPrepare: boolean;
  readonly drainParallel: number;
  readonly deadlineAt: Date | null;
  readonly onDeadline: 'keep' | 'stop';
  /** Bots on their way off the host. */
  readonly moving: number;
  /** Targets that did not get ready for this allocation lately, the newest first. */
  readonly unready: readonly { host: string; failure: string; detail: string | null }[];
}

interface RequestRow {
  bot: string;
  tenant: string;
  runtime: RuntimeName;
  version: string | null;
  resources: PlacementRequest['resources'];
  constraints: PlacementRequest['constraints'];
  antiAffinity: PlacementRequest['antiAffinity'];
}

const requestColumns = `b.name AS bot, b.tenant, b.runtime, b.version, b.resources, b.constraints,
  b.policies->>'antiAffinity' AS "antiAffinity"`;

/**
 * Whether the bot goes back to the host it was on, where its volume is: when only its definition has changed, and when
 * it has waited for that host to come back. One that failed there, or was lost with it, has no reason to.
 */
const staysOn = (
  bot: Pick<IdleBot, 'fresh' | 'onHostLost'> & { last_state: AllocationState | null },
): boolean => (bot.last_state === 'lost' ? bot.onHostLost === 'wait' : bot.last_state !== null && bot.fresh);

/** What the reconcilers read. Every query is bounded and reads what is, never what changed. */
@Injectable()
export class ReconciliationRepository {
  constructor(private readonly dataSource: DataSource) {}

  /** Every host with what live allocations, and moves on their way to it, hold of it. @param isHeard from the leader's memory */
  async hosts(isHeard: (host: string) => boolean): Promise<HostFacts[]> {
    const rows = await this.dataSource.query<
      {
        name: string;
        state: HostState;
        runtimes: RuntimeRef[];
        labels: Labels;
        cpu_millis: number;
        memory_mib: number;
        bots_max: number;
        held: { tenant: string; bots: number; cpu: number; memory: number }[] | null;
      }[]
    >(
      `SELECT h.name, h.state, h.runtimes, h.labels || h.operator_labels AS labels, h.cpu_millis, h.memory_mib, h.bots_max, used.held
       FROM scheduler.hosts h
       LEFT JOIN (
         SELECT host, jsonb_agg(jsonb_build_object('tenant', tenant, 'bots', bots, 'cpu', cpu, 'memory', memory)) AS held
         FROM (SELECT host, tenant, count(*)::int AS bots, sum(cpu)::int AS cpu, sum(memory)::int AS memory
               FROM (SELECT host, tenant, reserved_cpu_millis AS cpu, reserved_memory_mib AS memory
                     FROM scheduler.allocations WHERE state IN (${liveStatesSql})
                     UNION ALL
                     SELECT to_host, tenant, reserved_cpu_millis, reserved_memory_mib FROM scheduler.moves m
                     WHERE ${holdsRoomSql}) held
               GROUP BY host, tenant) t
         GROUP BY host) used ON used.host = h.name`,
    );
    return rows.map(({ held, ...row }) => {
      const shares = held ?? [];
      const sum = (of: 'bots' | 'cpu' | 'memory'): number =>
        shares.reduce((total, share) => total + share[of], 0);
      return {
        name: row.name,
        state: row.state,
        heard: isHeard(row.name),
        runtimes: row.runtimes,
        labels: row.labels,
        capacity: { cpuMillis: row.cpu_millis, memoryMiB: row.memory_mib, bots: row.bots_max },
        reserved: { cpuMillis: sum('cpu'), memoryMiB: sum('memory'), bots: sum('bots') },
        tenants: new Map(shares.map((share) => [share.tenant, share.bots])),
      };
    });
  }

  /**
   * Hosts that can be lost: those that are not down, each with the leases of the fleet, and those with live allocations
   * of longer leases, which they may have after they are down. One row for each length, the longest first.
   * @param leaseTtlMs of the fleet
   */
  async hostsToLose(leaseTtlMs: number): Promise<{ host: string; leaseTtlMs: number }[]> {
    return this.dataSource.query<{ host: string; leaseTtlMs: number }[]>(
      `SELECT host, ttl AS "leaseTtlMs" FROM (
         SELECT name AS host, $1::int AS ttl FROM scheduler.hosts WHERE state <> 'down'
         UNION
         SELECT host, greatest(coalesce(lease_ttl_ms, 0), $1::int) FROM scheduler.allocations
         WHERE state IN (${liveStatesSql})
       ) AS l ORDER BY host, ttl DESC`,
      [leaseTtlMs],
    );
  }

  /**
   * Bots that should run, may, and have nothing that lives. First those that were stopped to move, by a rollout, or to
   * leave a draining host: the room they had is theirs. Then those whose turn it is.
   */
  async idleBots(now: Date, rows_max: number, queueAgeing_ms: number): Promise<IdleBot[]> {
    const rows = await this.dataSource.query<
      (RequestRow & {
        generation: number;
        queuedReason: string | null;
        onHostLost: IdleBot['onHostLost'];
        heldRoom: HeldRoom | null;
        fresh: boolean;
        recent_failures: RecentFailure[];
        reschedule: Policies['reschedule'];
        last_state: AllocationState | null;
        last_host: string;
        last_host_state: HostState;
      })[]
    >(
      `WITH idle AS MATERIALIZED (
         SELECT b.* FROM scheduler.bots b JOIN scheduler.accounts c ON c.name = b.account
         WHERE b.desired = 'running' AND c.locked_at IS NULL AND NOT EXISTS (
           SELECT 1 FROM scheduler.allocations a WHERE a.account = b.account AND a.state IN (${liveStatesSql}))
       )
       SELECT ${requestColumns}, b.generation, b.queued_reason AS "queuedReason",
              b.policies->>'onHostLost' AS "onHostLost", b.generation > coalesce(last.bot_generation, 0) AS fresh,
              CASE WHEN m.id IS NOT NULL THEN jsonb_build_object('host', m.to_host,
                'cpuMillis', m.reserved_cpu_millis, 'memoryMiB', m.reserved_memory_mib) END AS "heldRoom",
              b.recent_failures, b.policies->'reschedule' AS reschedule, last.state AS last_state, last.host AS last_host, h.state AS last_host_state
       FROM idle b
       LEFT JOIN LATERAL (
         SELECT state, host, bot_generation FROM scheduler.allocations
         WHERE bot = b.name AND account = b.account AND created_at >= b.created_at ORDER BY epoch DESC LIMIT 1) last ON true
       JOIN scheduler.tenants t ON t.name = b.tenant
       LEFT JOIN scheduler.hosts h ON h.name = last.host
       LEFT JOIN scheduler.moves m ON m.account = b.account AND m.state = 'switching' AND ${holdsRoomSql}
       WHERE (b.gave_up_at IS NULL AND (b.retry_at IS NULL OR b.retry_at <= $1))
          OR b.generation > coalesce(last.bot_generation, 0)
       ORDER BY (m.id IS NOT NULL) DESC, EXISTS (
                  SELECT 1 FROM scheduler.rollout_targets r
                  WHERE r.bot = b.name AND r.active AND r.state IN ('changing', 'reverting')) DESC,
                coalesce(last.state = 'stopped' AND h.state = 'draining', false) DESC,
                ${queueTurnSql('$1', '$3')}, b.created_at, b.name LIMIT $2`,
      [now, rows_max, queueAgeing_ms],
    );
    return rows.map(({ last_state, last_host, last_host_state, recent_failures, reschedule, ...row }) => ({
      ...row,
      recentFailures: row.fresh ? [] : hostsToAvoid(recent_failures, reschedule, now.getTime()),
      keepOn: staysOn({ ...row, last_state }) ? last_host : null,
      last: last_state === null ? null : { state: last_state, host: last_host, hostState: last_host_state },
    }));
  }

  /** Live allocations that nobody wants: the bot should not run, is gone, or its account is locked. */
  async unwanted(rows_max: number): Promise<StopCandidate[]> {
    return this.dataSource.query<StopCandidate[]>(
      `SELECT a.id, CASE WHEN c.locked_at IS NULL THEN 'asked' ELSE 'account-locked' END AS reason,
              CASE WHEN c.locked_at IS NULL THEN b.changed_by ELSE c.locked_by END AS actor
       FROM scheduler.allocations a
       JOIN scheduler.accounts c ON c.name = a.account
       LEFT JOIN scheduler.bots b ON b.name = a.bot
       WHERE a.state IN (${liveStatesSql}) AND a.stop_requested_at IS NULL
         AND (b.name IS NULL OR b.desired <> 'running' OR c.locked_at IS NOT NULL)
       ORDER BY a.id LIMIT $1`,
      [rows_max],
    );
  }

  /** Live allocations of an older definition of their bot. */
  async outdated(rows_max: number): Promise<StopCandidate[]> {
    return this.dataSource.query<StopCandidate[]>(
      `SELECT a.id, 'asked' AS reason, b.changed_by AS actor
       FROM scheduler.allocations a JOIN scheduler.bots b ON b.name = a.bot
       WHERE a.state IN (${liveStatesSql}) AND a.stop_requested_at IS NULL
         AND b.desired = 'running' AND b.generation > a.bot_generation
       ORDER BY a.id LIMIT $1`,
      [rows_max],
    );
  }

  /**
   * Live allocations on hosts being drained whose bots should go on running elsewhere and are not on their way. The
   * hosts take turns, so that bots of one that nobody can take do not hide those of another.
   * @param unreadySince failed preparations before that are forgotten
   */
  async staying(unreadySince: Date, rows_max: number): Promise<DrainingAllocation[]> {
    return this.dataSource.query<DrainingAllocation[]>(
      `SELECT ${requestColumns}, a.id, a.host, b.queued_reason AS "queuedReason",
              coalesce(h.drain_by, 'service:scheduler') AS "drainBy", h.drain_prepare AS "drainPrepare",
              h.drain_parallel AS "drainParallel", h.drain_deadline_at AS "deadlineAt",
              h.drain_on_deadline AS "onDeadline", moving.bots AS moving, coalesce(tried.unready, '[]') AS unready
       FROM scheduler.hosts h
       JOIN scheduler.allocations a ON a.host = h.name AND a.state IN (${liveStatesSql})
         AND a.stop_requested_at IS NULL
       JOIN scheduler.bots b ON b.name = a.bot AND b.desired = 'running'
       CROSS JOIN LATERAL (
         SELECT count(*)::int AS bots FROM scheduler.moves m
         WHERE m.from_host = h.name AND m.state IN (${liveMovesSql})) moving
       LEFT JOIN LATERAL (
         SELECT jsonb_agg(jsonb_build_object('host', m.to_host, 'failure', m.failure, 'detail', m.detail)
                          ORDER BY m.updated_at DESC) AS unready
         FROM scheduler.moves m
         WHERE m.allocation = a.id AND m.state = 'failed' AND m.failure IS NOT NULL AND m.updated_at >= $1) tried ON true
       WHERE h.state = 'draining' AND NOT EXISTS (
         SELECT 1 FROM scheduler.moves m WHERE m.account = a.account AND m.state IN (${liveMovesSql}))
       ORDER BY row_number() OVER (PARTITION BY a.host ORDER BY a.id), a.id LIMIT $2`,
      [unreadySince, rows_max],
    );
  }

  /** Bots with a reason to wait that do not wait: they should not run, or they run where they may stay. */
  async wronglyWaiting(rows_max: number): Promise<string[]> {
    const rows = await this.dataSource.query<{ name: string }[]>(
      `SELECT b.name FROM scheduler.bots b JOIN scheduler.accounts c ON c.name = b.account
       WHERE b.queued_reason IS NOT NULL
         AND (b.desired <> 'running' OR c.locked_at IS NOT NULL OR EXISTS (
           SELECT 1 FROM scheduler.allocations a JOIN scheduler.hosts h ON h.name = a.host
           WHERE a.account = b.account AND a.state IN (${liveStatesSql})
             AND (h.state <> 'draining' OR a.stop_requested_at IS NOT NULL)))
       ORDER BY b.name LIMIT $1`,
      [rows_max],
    );
    return rows.map((row) => row.name);
  }
}
