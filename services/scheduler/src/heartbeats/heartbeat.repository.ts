import { Injectable } from '@nestjs/common';
import type { AllocationState, Capacity, EndReason, HostState } from '#libs/contracts';
import { DataSource } from 'typeorm';
import { liveStatesSql } from '../allocations/allocation.states.sql.js';
import type { Transaction } from '#libs/persistence';
import type { TermLineage } from '../leadership/term.lineage.js';
import type { RecordedAllocation } from './heartbeat.comparison.js';

/** A host and its live allocations, together with the term of whoever leads: one moment of the database. */
export interface HostStanding {
  readonly term: number;
  readonly lineage: TermLineage;
  readonly incarnation: string;
  readonly state: HostState;
  readonly capacity: Capacity;
  readonly allocations: RecordedAllocation[];
}

interface StandingRow {
  term: number;
  holder: string;
  forgotten_term: number;
  /** A bigint as Postgres gives it; null for a term that did not begin as others do. */
  placements: string | null;
  shown_holder: string | null;
  shown_placements: string | null;
  incarnation: string;
  host_state: HostState;
  cpu_millis: number;
  memory_mib: number;
  bots_max: number;
  id: string | null;
  account: string;
  epoch: number;
  state: AllocationState;
  attempt: number;
  stop_reason: EndReason | null;
  stop_deadline_at: Date | null;
  lease_ttl_ms: number | null;
}

/** What a heartbeat reads and writes of its host. One query answers a heartbeat that changes nothing. */
@Injectable()
export class HeartbeatRepository {
  constructor(private readonly dataSource: DataSource) {}

  /** Null for a host that has not registered. @param termShown the highest term that it was told of, 0 for none */
  async standing(host: string, termShown: number): Promise<HostStanding | null> {
    const rows = await this.dataSource.query<StandingRow[]>(
      `SELECT l.term, l.holder, l.forgotten_term, t.placements, s.holder AS shown_holder,
              s.placements AS shown_placements, h.incarnation, h.state AS host_state, h.cpu_millis, h.memory_mib, h.bots_max,
              a.id, a.account, a.epoch, a.state, a.attempt, a.stop_reason, a.stop_deadline_at, a.lease_ttl_ms
       FROM scheduler.leadership l
       JOIN scheduler.hosts h ON h.name = $1
       LEFT JOIN scheduler.terms t ON t.term = l.term
       LEFT JOIN scheduler.terms s ON s.term = $2
       LEFT JOIN scheduler.allocations a ON a.host = h.name AND a.state IN (${liveStatesSql})`,
      [host, termShown],
    );
    const [first] = rows;
    if (first === undefined) return null;
    const allocations = rows.flatMap((row) =>
      row.id === null
        ? []
        : [
            {
              id: row.id,
              account: row.account,
              epoch: row.epoch,
              state: row.state,
              attempt: row.attempt,
              stopReason: row.stop_reason,
              stopDeadlineMs: row.stop_deadline_at?.getTime() ?? null,
              leaseTtlMs: row.lease_ttl_ms,
            },
          ],
    );
    return {
      term: first.term,
      lineage: lineageOf(first),
      incarnation: first.incarnation,
      state: first.host_state,
      capacity: { cpuMillis: first.cpu_millis, memoryMiB: first.memory_mib, bots: first.bots_max },
      allocations,
    };
  }

  /** Writes what is new about the host itself. */
  async observe(tx: Transaction, host: string, capacity: Capacity, now: Date): Promise<void> {
    await tx.query(
      `UPDATE scheduler.hosts SET cpu_millis = $2, memory_mib = $3, bots_max = $4, last_heartbeat_at = $5
       WHERE name = $1`,
      [host, capacity.cpuMillis, capacity.memoryMiB, capacity.bots, now],
    );
  }

  /** Brings a host back that was down. Answers what it is now, or null when it was not down (any more). */
  async bringBack(tx: Transaction, host: string): Promise<{ state: HostState; incarnation: string } | null> {
    const [rows] = await tx.query<[{ state: HostState; incarnation: string }[], number]>(
      `UPDATE scheduler.hosts SET state = CASE WHEN drain_at IS NULL THEN 'ready' ELSE 'draining' END,
              generation = generation + 1
       WHERE name = $1 AND state = 'down' RETURNING state, incarnation`,
      [host],
    );
    return rows[0] ?? null;
  }
}

const lineageOf = (row: StandingRow): TermLineage => ({
  mark: { term: row.term, holder: row.holder, placements: Number(row.placements ?? 0) },
  forgottenTerm: row.forgotten_term,
  shown:
    row.shown_holder === null
      ? null
      : { holder: row.shown_holder, placements: Number(row.shown_placements ?? 0) },
});
