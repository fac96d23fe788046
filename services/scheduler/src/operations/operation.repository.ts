import type { OperationKind, OperationState, OperationTarget } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Transaction } from '#libs/persistence';
import { liveStatesSql } from '../allocations/allocation.states.sql.js';
import { countSettledSql, settledColumnsSql, settleTargetsSql } from './operation.settlement.sql.js';

/** A target as it begins; `host` is the one to leave and goes with the goal `moved` only. */
export type NewTarget = Pick<OperationTarget, 'bot' | 'generation' | 'goal'> & { readonly host?: string };

export interface OperationRow {
  readonly id: string;
  readonly kind: OperationKind;
  readonly state: OperationState;
  readonly requested_by: string;
  readonly total: number;
  readonly failed: number;
}

export interface OperationWithTargets extends OperationRow {
  readonly done: number;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly targets: OperationTarget[];
}

/** Operations with at most $1 targets each, those not yet done first, then those that did not succeed. */
const withTargets = `
  SELECT o.id, o.kind, o.state, o.requested_by, o.total, o.done, o.failed, o.created_at, o.updated_at,
    coalesce((
      SELECT jsonb_agg(to_jsonb(t) - 'rank' ORDER BY t.rank, t.bot) FROM (
        SELECT bot, generation, goal, state, reason,
          array_position(ARRAY['running', 'failed', 'superseded', 'succeeded'], state) AS rank
        FROM scheduler.operation_targets WHERE operation = o.id
        ORDER BY rank, bot LIMIT $1
      ) t
    ), '[]') AS targets
  FROM scheduler.operations o`;

@Injectable()
export class OperationRepository {
  constructor(private readonly dataSource: DataSource) {}

  /** One without targets has nothing to wait for and begins as succeeded. */
  async insert(
    tx: Transaction,
    operation: { id: string; kind: OperationKind; by: string; targets: readonly NewTarget[] },
  ): Promise<void> {
    const { id, kind, by, targets } = operation;
    const state: OperationState = targets.length === 0 ? 'succeeded' : 'running';
    await tx.query(
      `WITH operation AS (
         INSERT INTO scheduler.operations (id, kind, state, requested_by, total) VALUES ($1, $2, $3, $4, $5)
         RETURNING id)
       INSERT INTO scheduler.operation_targets (operation, bot, generation, goal, host, state)
       SELECT operation.id, bot, generation, goal, host, 'running'
       FROM operation, jsonb_to_recordset($6::jsonb) AS t (bot text, generation integer, goal text, host text)
       ORDER BY bot`,
      [id, kind, state, by, targets.length, JSON.stringify(targets)],
    );
  }

  /**
   * Waits for transactions that are moving live allocations of these bots, and keeps others from it until this one has
   * ended. Without it, one that begins a target and one that reaches it would not see each other, and the operation
   * would never end. Allocations are locked by id, as everywhere.
   */
  async holdAllocations(tx: Transaction, bots: readonly string[]): Promise<void> {
    await tx.query(
      `SELECT 1 FROM scheduler.allocations WHERE bot = ANY($1) AND state IN (${liveStatesSql})
       ORDER BY id FOR SHARE`,
      [bots],
    );
  }

  /** Settles what has been reached for these bots; see `settleTargetsSql`. Gives the operations it moved. */
  async settle(tx: Transaction, bots: readonly string[], failures_max: number): Promise<OperationRow[]> {
    const [rows]: [OperationRow[], number] = await tx.query(settleTargetsSql, [bots, failures_max]);
    return rows;
  }

  /** Settles the running targets of one operation as told, all of them at once. Gives the operation as it then is. */
  async settleEach(
    tx: Transaction,
    id: string,
    outcomes: readonly { bot: string; state: OperationState; reason: string | null }[],
  ): Promise<OperationRow | null> {
    const [rows]: [OperationRow[], number] = await tx.query(
      `WITH settled AS (
         UPDATE scheduler.operation_targets t SET state = o.state, reason = left(o.reason, 300)
         FROM jsonb_to_recordset($2::jsonb) AS o (bot text, state text, reason text)
         WHERE t.operation = $1 AND t.bot = o.bot AND t.state = 'running'
         RETURNING t.state
       ), counted AS (
         SELECT count(*)::int AS done, (count(*) FILTER (WHERE state = 'failed'))::int AS failed,
           (count(*) FILTER (WHERE state = 'superseded'))::int AS superseded
         FROM settled
       )
       UPDATE scheduler.operations o
       SET ${countSettledSql}
       FROM counted c WHERE o.id = $1 AND o.state = 'running'
       RETURNING ${settledColumnsSql}`,
      [id, JSON.stringify(outcomes)],
    );
    return rows[0] ?? null;
  }

  async find(id: string, targets_max: number): Promise<OperationWithTargets | null> {
    const rows: OperationWithTargets[] = await this.dataSource.query(`${withTargets} WHERE o.id = $2`, [
      targets_max,
      id,
    ]);
    return rows[0] ?? null;
  }

  /** Newest first: ids sort by time. `after` is the last id of the page before. */
  async page(query: {
    state: OperationState | null;
    after: string | null;
    rows_max: number;
    targets_max: number;
  }): Promise<OperationWithTargets[]> {
    return this.dataSource.query(
      `${withTargets}
       WHERE ($2::text IS NULL OR o.state = $2) AND ($3::uuid IS NULL OR o.id < $3)
       ORDER BY o.id DESC LIMIT $4`,
      [query.targets_max, query.state, query.after, query.rows_max],
    );
  }

  /** Which of these operations have ended or are not there. */
  async ended(ids: readonly string[]): Promise<string[]> {
    const rows: { id: string }[] = await this.dataSource.query(
      `SELECT id FROM unnest($1::uuid[]) AS asked (id)
       WHERE NOT EXISTS (SELECT FROM scheduler.operations o WHERE o.id = asked.id AND o.state = 'running')`,
      [ids],
    );
    return rows.map((row) => row.id);
  }
}
