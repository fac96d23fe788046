import { Injectable } from '@nestjs/common';
import type { Resources, RuntimeName } from '#libs/contracts';
import { DataSource } from 'typeorm';
import type { Transaction } from '#libs/persistence';
import { liveStatesSql } from '../allocations/allocation.states.sql.js';
import type { RoomNeed } from '../allocations/host-room.repository.js';
import type { MoveIdentity, MoveStanding, NewMove } from './move.rows.js';
import { liveMovesSql } from './move.states.sql.js';

/** A move with all its prepare command needs. */
export interface PreparingMove extends MoveIdentity {
  readonly runtime: RuntimeName;
  readonly version: string | null;
  readonly resources: Resources;
  readonly prepareBy: Date;
}

export interface MoveEnd {
  readonly id: string;
  readonly state: 'done' | 'cancelled' | 'failed';
  /** Where the bot runs; null when it has not moved. */
  readonly to: string | null;
  readonly gapMs: number | null;
  readonly failure: string | null;
  readonly detail: string | null;
}

const identityColumns = `m.id, m.bot, m.tenant, m.account, m.allocation, m.from_host AS "from", m.to_host AS "to",
  m.reason, m.operation, m.requested_by AS by, m.prepared, m.detail`;

/** The table of moves as the leader reads and writes it. Only these methods change the state of a move. */
@Injectable()
export class MoveRepository {
  constructor(private readonly dataSource: DataSource) {}

  /** Moves under way with what decides about them, the oldest first. */
  async underWay(rows_max: number): Promise<MoveStanding[]> {
    return this.dataSource.query<MoveStanding[]>(
      `SELECT ${identityColumns}, m.state, m.prepare, m.prepare_by AS "prepareBy", m.created_at AS "createdAt",
              m.updated_at AS "updatedAt", m.switched_at AS "switchedAt", b.desired, c.locked_at IS NOT NULL AS locked, old.state AS "oldState",
              old.stop_requested_at IS NOT NULL AS "oldTold", old.ended_at AS "oldEndedAt", t.state AS "targetState",
              f.drain_at IS NOT NULL AS draining, f.drain_deadline_at AS "deadlineAt",
              coalesce(f.drain_on_deadline, 'keep') AS "onDeadline", newer.host AS "newHost",
              newer.running_at AS "newRunningAt"
       FROM scheduler.moves m
       JOIN scheduler.accounts c ON c.name = m.account
       JOIN scheduler.allocations old ON old.id = m.allocation
       LEFT JOIN scheduler.bots b ON b.name = m.bot AND b.account = m.account
       LEFT JOIN scheduler.hosts f ON f.name = m.from_host
       LEFT JOIN scheduler.hosts t ON t.name = m.to_host
       LEFT JOIN LATERAL (
         SELECT host, running_at FROM scheduler.allocations n
         WHERE n.account = m.account AND n.epoch > m.epoch AND n.running_at IS NOT NULL
         ORDER BY n.epoch LIMIT 1) newer ON true
       WHERE m.state IN (${liveMovesSql}) ORDER BY m.created_at, m.id LIMIT $1`,
      [rows_max],
    );
  }

  /** What these moves would take of their targets, in their order; only of allocations that live. */
  async needs(tx: Transaction, moves: readonly NewMove[]): Promise<(RoomNeed & { readonly move: string })[]> {
    return tx.query<(RoomNeed & { move: string })[]>(
      `SELECT w.id AS move, a.account, w.to_host AS host, a.reserved_cpu_millis AS "cpuMillis",
              a.reserved_memory_mib AS "memoryMiB"
       FROM unnest($1::uuid[], $2::uuid[], $3::text[]) WITH ORDINALITY AS w (id, allocation, to_host, position)
       JOIN scheduler.allocations a ON a.id = w.allocation AND a.state IN (${liveStatesSql})
       ORDER BY w.position`,
      [moves.map((m) => m.id), moves.map((m) => m.allocation), moves.map((m) => m.to)],
    );
  }

  /**
   * Plans moves of allocations that live and were not told to stop. Leaves out, without an error, those that changed
   * since and accounts that have a move already; the partial unique index refuses a second one whatever this does.
   */
  async plan(tx: Transaction, moves: readonly NewMove[], now: Date): Promise<MoveIdentity[]> {
    return tx.query<MoveIdentity[]>(
      `WITH made AS (
         INSERT INTO scheduler.moves (id, bot, tenant, account, allocation, epoch, from_host, to_host, reason,
             operation, requested_by, state, prepare, reserved_cpu_millis, reserved_memory_mib, detail, created_at,
             updated_at)
         SELECT w.id, a.bot, a.tenant, a.account, a.id, a.epoch, a.host, w.to_host, w.reason, w.operation, w.by,
                'planned', w.prepare, a.reserved_cpu_millis, a.reserved_memory_mib, w.detail, $8, $8
         FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::bool[], $9::text[])
           AS w (id, allocation, to_host, reason, operation, by, prepare, detail)
         JOIN scheduler.allocations a ON a.id = w.allocation AND a.state IN (${liveStatesSql})
           AND a.stop_requested_at IS NULL AND a.host <> w.to_host
         ORDER BY a.account
         ON CONFLICT (account) WHERE state IN (${liveMovesSql}) DO NOTHING
         RETURNING *)
       SELECT ${identityColumns} FROM made m`,
      [
        moves.map((m) => m.id),
        moves.map((m) => m.allocation),
        moves.map((m) => m.to),
        moves.map((m) => m.reason),
        moves.map((m) => m.operation),
        moves.map((m) => m.by),
        moves.map((m) => m.prepare),
        now,
        moves.map((m) => m.detail),
      ],
    );
  }

  /** Their targets are to prepare, at most until the deadline of a drain that stops what is left then. */
  async prepare(
    tx: Transaction,
    ids: readonly string[],
    now: Date,
    prepare_ms: number,
  ): Promise<PreparingMove[]> {
    const [rows] = await tx.query<[PreparingMove[], number]>(
      `UPDATE scheduler.moves m
       SET state = 'preparing', updated_at = $2,
           prepare_by = least($2::timestamptz + make_interval(secs => $3 / 1000.0),
             CASE WHEN m.reason = 'drain' AND f.drain_on_deadline = 'stop' THEN f.drain_deadline_at END)
       FROM scheduler.bots b, scheduler.hosts f
       WHERE m.id = ANY($1) AND m.state = 'planned' AND b.name = m.bot AND f.name = m.from_host
       RETURNING ${identityColumns}, m.prepare_by AS "prepareBy", b.runtime, b.version, b.resources`,
      [ids, now, prepare_ms],
    );
    return rows;
  }

  /** Of these the moves that still wait for their targets, to ask them once more; they have no more time for it. */
  async askAgain(tx: Transaction, ids: readonly string[], now: Date): Promise<PreparingMove[]> {
    const [rows] = await tx.query<[PreparingMove[], number]>(
      `UPDATE scheduler.moves m SET updated_at = $2 FROM scheduler.bots b
       WHERE m.id = ANY($1) AND m.state = 'preparing' AND m.prepare_by > $2 AND b.name = m.bot
       RETURNING ${identityColumns}, m.prepare_by AS "prepareBy", b.runtime, b.version, b.resources`,
      [ids, now],
    );
    return rows;
  }

  /** The target says that it is ready, or why it cannot be. Answers the moves that go on with it. */
  async prepared(
    tx: Transaction,
    reports: readonly { move: string; host: string; account: string }[],
    now: Date,
  ): Promise<MoveIdentity[]> {
    if (reports.length === 0) return [];
    const [rows] = await tx.query<[MoveIdentity[], number]>(
      `UPDATE scheduler.moves m SET state = 'prepared', prepared = true, updated_at = $4
       FROM unnest($1::uuid[], $2::text[], $3::text[]) AS r (move, host, account)
       WHERE m.id = r.move AND m.to_host = r.host AND m.account = r.account AND m.state = 'preparing'
       RETURNING ${identityColumns}`,
      [reports.map((r) => r.move), reports.map((r) => r.host), reports.map((r) => r.account), now],
    );
    return rows;
  }

  /** Of these the moves that wait for just this host to get ready, locked. */
  async awaited(
    tx: Transaction,
    reports: readonly { move: string; host: string; account: string }[],
  ): Promise<string[]> {
    if (reports.length === 0) return [];
    const rows = await tx.query<{ id: string }[]>(
      `SELECT m.id FROM scheduler.moves m
       JOIN unnest($1::uuid[], $2::text[], $3::text[]) AS r (move, host, account)
         ON m.id = r.move AND m.to_host = r.host AND m.account = r.account
       WHERE m.state = 'preparing' ORDER BY m.id FOR NO KEY UPDATE OF m`,
      [reports.map((r) => r.move), reports.map((r) => r.host), reports.map((r) => r.account)],
    );
    return rows.map((row) => row.id);
  }

  /** Those of these whose old allocations were told to stop now. */
  async switched(
    tx: Transaction,
    allocations: readonly string[],
    details: ReadonlyMap<string, string | null>,
    now: Date,
  ): Promise<MoveIdentity[]> {
    const [rows] = await tx.query<[MoveIdentity[], number]>(
      `UPDATE scheduler.moves m
       SET state = 'switching', switched_at = $4, updated_at = $4, detail = coalesce(w.detail, m.detail)
       FROM unnest($1::uuid[], $2::text[]) AS w (id, detail)
       WHERE m.id = w.id AND m.allocation = ANY($3) AND m.state IN ('planned', 'preparing', 'prepared')
       RETURNING ${identityColumns}`,
      [[...details.keys()], [...details.values()], allocations, now],
    );
    return rows;
  }

  /** Ends those that have not ended yet. */
  async end(tx: Transaction, ends: readonly MoveEnd[], now: Date): Promise<(MoveIdentity & MoveEnd)[]> {
    const [rows] = await tx.query<[MoveIdentity[], number]>(
      `UPDATE scheduler.moves m
       SET state = e.state, gap_ms = e.gap_ms, failure = e.failure, detail = coalesce(left(e.detail, 300), m.detail),
           to_host = coalesce(e.host, m.to_host), prepared = m.prepared AND coalesce(e.host = m.to_host, true),
           updated_at = $7
       FROM unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::text[], $6::text[])
         AS e (id, state, gap_ms, failure, detail, host)
       WHERE m.id = e.id AND m.state IN (${liveMovesSql})
       RETURNING ${identityColumns}`,
      [
        ends.map((e) => e.id),
        ends.map((e) => e.state),
        ends.map((e) => e.gapMs),
        ends.map((e) => e.failure),
        ends.map((e) => e.detail),
        ends.map((e) => e.to),
        now,
      ],
    );
    const byId = new Map(ends.map((end) => [end.id, end]));
    return rows.flatMap((row) => {
      const end = byId.get(row.id);
      return end === undefined ? [] : [{ ...end, ...row }];
    });
  }
}
