import {
  liveStates,
  type Drain,
  type Host,
  type HostFingerprint,
  type HostState,
  type Labels,
  type PublicJwk,
  type RuntimeRef,
} from '#libs/contracts';
import { isForeignKeyViolation, type Transaction } from '#libs/persistence';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { refusal } from '../errors.js';
import { liveMovesSql } from '../moves/move.states.sql.js';

/** What a drain was asked for with; `total` bots live on the host now. */
export interface NewDrain {
  readonly reason: string;
  readonly by: string;
  readonly deadlineMs?: number | undefined;
  readonly onDeadline: 'keep' | 'stop';
  readonly prepare: boolean;
  readonly parallel: number;
  readonly total: number;
}

interface HostRow {
  name: string;
  state: HostState;
  driver: Host['driver'];
  runtimes: RuntimeRef[];
  labels: Record<string, string>;
  operator_labels: Record<string, string>;
  fingerprint: HostFingerprint | null;
  cpu_millis: number;
  memory_mib: number;
  bots_max: number;
  agent_version: string;
  incarnation: string;
  signing_key: PublicJwk;
  drain_reason: string | null;
  drain_by: string | null;
  drain_at: Date | null;
  drain_deadline_at: Date | null;
  drain_on_deadline: 'keep' | 'stop';
  drain_prepare: boolean;
  drain_parallel: number;
  drain_total: number;
  drain_ended_at: Date | null;
  drain_moving: number;
  generation: number;
  registered_at: Date;
  last_heartbeat_at: Date | null;
  reserved_cpu_millis: number;
  reserved_memory_mib: number;
  reserved_bots: number;
}

/** Hosts with what their live allocations reserve and what leaves them; $1 are the live states. */
const withReserved = `
  SELECT h.*, r.*, leaving.*
  FROM scheduler.hosts h
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(reserved_cpu_millis), 0)::int AS reserved_cpu_millis,
      coalesce(sum(reserved_memory_mib), 0)::int AS reserved_memory_mib,
      count(*)::int AS reserved_bots
    FROM scheduler.allocations a WHERE a.host = h.name AND a.state = ANY ($1)
  ) r
  CROSS JOIN LATERAL (
    SELECT count(*)::int AS drain_moving FROM scheduler.moves m
    JOIN scheduler.allocations a ON a.id = m.allocation AND a.state = ANY ($1)
    WHERE m.from_host = h.name AND m.state IN (${liveMovesSql})
  ) leaving`;

@Injectable()
export class HostRepository {
  constructor(private readonly dataSource: DataSource) {}

  async find(name: string, tx?: Transaction): Promise<Host | null> {
    const rows: HostRow[] = await (tx ?? this.dataSource.manager).query(`${withReserved} WHERE h.name = $2`, [
      liveStates,
      name,
    ]);
    return rows.map(toHost)[0] ?? null;
  }

  /** Keeps others from changing it until the transaction ends; false when there is none. */
  async hold(tx: Transaction, name: string): Promise<boolean> {
    const rows: unknown[] = await tx.query('SELECT FROM scheduler.hosts WHERE name = $1 FOR NO KEY UPDATE', [
      name,
    ]);
    return rows.length > 0;
  }

  /** Forgets it. Throws `invalid_transition` when something else still refers to it. */
  async remove(tx: Transaction, name: string): Promise<void> {
    try {
      await tx.query('DELETE FROM scheduler.hosts WHERE name = $1', [name]);
    } catch (error) {
      if (isForeignKeyViolation(error)) throw refusal.hostStillNamed(name);
      throw error;
    }
  }

  /** Writes the labels an operator gave it, whole; one generation on. */
  async label(tx: Transaction, name: string, labels: Labels): Promise<void> {
    await tx.query(
      'UPDATE scheduler.hosts SET operator_labels = $2, generation = generation + 1 WHERE name = $1',
      [name, JSON.stringify(labels)],
    );
  }

  async page(after: string | undefined, rows_max: number): Promise<Host[]> {
    const rows: HostRow[] = await this.dataSource.query(
      `${withReserved} WHERE ($2::text IS NULL OR h.name > $2) ORDER BY h.name LIMIT $3`,
      [liveStates, after ?? null, rows_max],
    );
    return rows.map(toHost);
  }

  async drain(tx: Transaction, name: string, drain: NewDrain): Promise<void> {
    await tx.query(
      `UPDATE scheduler.hosts
       SET state = 'draining', drain_reason = $2, drain_by = $3, drain_at = now(), generation = generation + 1,
         drain_deadline_at = now() + make_interval(secs => $4::int / 1000.0), drain_on_deadline = $5,
         drain_prepare = $6, drain_parallel = $7, drain_total = $8, drain_overdue_at = NULL, drain_ended_at = NULL
       WHERE name = $1`,
      [
        name,
        drain.reason,
        drain.by,
        drain.deadlineMs ?? null,
        drain.onDeadline,
        drain.prepare,
        drain.parallel,
        drain.total,
      ],
    );
  }

  /** One that is down stays down; it will be ready when it is back. */
  async endDrain(tx: Transaction, name: string): Promise<void> {
    await tx.query(
      `UPDATE scheduler.hosts
       SET state = CASE state WHEN 'draining' THEN 'ready' ELSE state END,
         drain_reason = NULL, drain_by = NULL, drain_at = NULL, drain_deadline_at = NULL,
         drain_overdue_at = NULL, drain_ended_at = NULL, generation = generation + 1
       WHERE name = $1`,
      [name],
    );
  }

  /** Bots that live on the host, each with its desired generation. */
  async botsOn(tx: Transaction, host: string): Promise<{ bot: string; generation: number }[]> {
    return await tx.query(
      `SELECT DISTINCT a.bot, coalesce(b.generation, a.bot_generation) AS generation
       FROM scheduler.allocations a LEFT JOIN scheduler.bots b ON b.name = a.bot
       WHERE a.host = $1 AND a.state = ANY ($2) ORDER BY a.bot`,
      [host, liveStates],
    );
  }
}

/** Moved is what was there and is not any more, wherever it went; more may have come in before the drain began. */
function drainOf(row: HostRow): Drain | null {
  const { drain_reason: reason, drain_by: by, drain_at: at } = row;
  if (reason === null || by === null || at === null) return null;
  const total = Math.max(row.drain_total, row.reserved_bots);
  const moving = Math.min(row.drain_moving, row.reserved_bots);
  return {
    reason,
    by,
    at: at.toISOString(),
    deadlineAt: row.drain_deadline_at?.toISOString() ?? null,
    onDeadline: row.drain_on_deadline,
    prepare: row.drain_prepare,
    parallel: row.drain_parallel,
    total,
    moved: total - row.reserved_bots,
    moving,
    waiting: row.reserved_bots - moving,
    endedAt: row.drain_ended_at?.toISOString() ?? null,
  };
}

function toHost(row: HostRow): Host {
  return {
    name: row.name,
    state: row.state,
    driver: row.driver,
    runtimes: row.runtimes,
    labels: { ...row.labels, ...row.operator_labels },
    operatorLabels: row.operator_labels,
    capacity: { cpuMillis: row.cpu_millis, memoryMiB: row.memory_mib, bots: row.bots_max },
    reserved: {
      cpuMillis: row.reserved_cpu_millis,
      memoryMiB: row.reserved_memory_mib,
      bots: row.reserved_bots,
    },
    overcommitted:
      row.reserved_cpu_millis > row.cpu_millis ||
      row.reserved_memory_mib > row.memory_mib ||
      row.reserved_bots > row.bots_max,
    fingerprint: row.fingerprint,
    agentVersion: row.agent_version,
    incarnation: row.incarnation,
    signingKey: row.signing_key,
    generation: row.generation,
    registeredAt: row.registered_at.toISOString(),
    lastHeartbeatAt: row.last_heartbeat_at?.toISOString() ?? null,
    drain: drainOf(row),
  };
}
