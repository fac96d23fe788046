import type { RolloutChange, RolloutOptions, RolloutSelector, RolloutState } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Transaction } from '#libs/persistence';
import { storableText } from '../database/storable.js';
import type { BotDefinition } from '../bots/bot.definition.js';
import type { Mark } from './rollout.machine.js';
import type { ChosenBot, Counts, RolloutRow, TargetRow, WatchedRow } from './rollout.rows.js';

const rolloutColumns = `id, operation, state, reason, change, options, requested_by, changed_by, traceparent, batch,
  created_at, updated_at, ended_at`;
const targetColumns = `t.bot, t.state, t.reason, t.batch, t.generation, t.changed_generation, t.reverted_generation,
  t.bot_created_at, t.since, t.healthy_allocation, t.healthy_attempt, t.healthy_since, t.updated_at`;

/** Of one generation of a bot; more are of no interest, and the newest come first. */
const tries_max = 10;

export interface NewRollout {
  readonly id: string;
  readonly operation: string;
  readonly change: RolloutChange;
  readonly options: RolloutOptions;
  readonly by: string;
  readonly traceparent: string;
  /** In the order in which they are to be changed. */
  readonly bots: readonly ChosenBot[];
}

@Injectable()
export class RolloutRepository {
  constructor(private readonly dataSource: DataSource) {}

  /**
   * Bots that fit the selector, by name, at most `rows_max`.
   * @param hold keeps others from changing them until the transaction ends
   */
  async choose(
    tx: Transaction,
    selector: RolloutSelector,
    { hold, rows_max }: { hold: boolean; rows_max: number },
  ): Promise<ChosenBot[]> {
    const bots = await tx.query<Omit<ChosenBot, 'conflict'>[]>(
      `SELECT b.name, b.tenant, b.account, b.runtime, b.version, b.parameters, b.resources, b.constraints, b.policies,
         b.desired, b.generation, b.created_at AS "createdAt", c.locked_at IS NOT NULL AS locked,
         EXISTS (SELECT 1 FROM scheduler.allocations a WHERE a.bot = b.name AND a.state = 'running') AS runs
       FROM scheduler.bots b JOIN scheduler.accounts c ON c.name = b.account
       WHERE b.desired <> 'deleted'
         AND ($1::text IS NULL OR b.tenant = $1)
         AND ($2::text[] IS NULL OR b.name = ANY ($2))
         AND ($3::text IS NULL OR b.runtime = $3)
         AND (NOT $4::boolean OR b.version IS NOT DISTINCT FROM $5::text)
         AND (NOT $6::boolean OR (b.desired = 'running' AND c.locked_at IS NULL))
       ORDER BY b.name LIMIT $7 ${hold ? 'FOR NO KEY UPDATE OF b' : ''}`,
      [
        selector.tenant ?? null,
        selector.bots ?? null,
        selector.runtime ?? null,
        selector.version !== undefined,
        selector.version ?? null,
        selector.onlyRunning,
        rows_max,
      ],
    );
    // A statement of its own: it sees what those have committed for whom the locks had to wait.
    const held = await tx.query<{ bot: string; rollout: string }[]>(
      'SELECT bot, rollout FROM scheduler.rollout_targets WHERE bot = ANY ($1) AND active',
      [bots.map((bot) => bot.name)],
    );
    const rolloutOf = new Map(held.map(({ bot, rollout }) => [bot, rollout]));
    return bots.map((bot) => ({ ...bot, conflict: rolloutOf.get(bot.name) ?? null }));
  }

  /** Which of these names no bot has. */
  async unknown(tx: Transaction, bots: readonly string[]): Promise<string[]> {
    const rows = await tx.query<{ name: string }[]>(
      `SELECT name FROM unnest($1::text[]) AS asked (name)
       WHERE NOT EXISTS (SELECT 1 FROM scheduler.bots b WHERE b.name = asked.name AND b.desired <> 'deleted')`,
      [bots],
    );
    return rows.map((row) => row.name);
  }

  /** How many ready hosts offer each of these. */
  async offering(tx: Transaction, refs: readonly string[]): Promise<{ runtime: string; hosts: number }[]> {
    return await tx.query(
      `SELECT wanted.ref AS runtime,
         (SELECT count(*)::int FROM scheduler.hosts h WHERE h.state = 'ready' AND wanted.ref = ANY (h.runtimes)) AS hosts
       FROM unnest($1::text[]) AS wanted (ref) ORDER BY wanted.ref`,
      [refs],
    );
  }

  async insert(tx: Transaction, rollout: NewRollout, now: Date): Promise<void> {
    const { id, operation, change, options, by, traceparent, bots } = rollout;
    await tx.query(
      `INSERT INTO scheduler.rollouts (id, operation, state, change, options, requested_by, changed_by, traceparent,
         created_at, updated_at)
       VALUES ($1, $2, 'running', $3, $4, $5, $5, $6, $7, $7)`,
      [id, operation, JSON.stringify(change), JSON.stringify(options), by, traceparent, now],
    );
    await tx.query(
      `INSERT INTO scheduler.rollout_targets (rollout, bot, position, bot_created_at, generation, before, updated_at)
       SELECT $1, b.name, w.position, b.created_at, b.generation, jsonb_build_object(
           'runtime', b.runtime, 'version', b.version, 'parameters', b.parameters, 'resources', b.resources,
           'constraints', b.constraints, 'policies', b.policies), $3
       FROM unnest($2::text[]) WITH ORDINALITY AS w (name, position) JOIN scheduler.bots b ON b.name = w.name
       ORDER BY b.name`,
      [id, bots.map((bot) => bot.name), now],
    );
  }

  async find(id: string, tx?: Transaction): Promise<RolloutRow | null> {
    const rows = await (tx ?? this.dataSource.manager).query<RolloutRow[]>(
      `SELECT ${rolloutColumns} FROM scheduler.rollouts WHERE id = $1`,
      [id],
    );
    return rows[0] ?? null;
  }

  /** Keeps others from moving it on until the transaction ends. */
  async lock(tx: Transaction, id: string): Promise<RolloutRow | null> {
    const rows = await tx.query<RolloutRow[]>(
      `SELECT ${rolloutColumns} FROM scheduler.rollouts WHERE id = $1 FOR NO KEY UPDATE`,
      [id],
    );
    return rows[0] ?? null;
  }

  /** In the order in which they are changed. */
  async targets(id: string, tx?: Transaction): Promise<TargetRow[]> {
    return await (tx ?? this.dataSource.manager).query<TargetRow[]>(
      `SELECT ${targetColumns} FROM scheduler.rollout_targets t WHERE t.rollout = $1 ORDER BY t.position`,
      [id],
    );
  }

  /** Newest first: ids sort by time. `after` is the last id of the page before. */
  async page(query: {
    state: RolloutState | null;
    after: string | null;
    rows_max: number;
  }): Promise<(RolloutRow & { counts: Counts })[]> {
    return await this.dataSource.query<(RolloutRow & { counts: Counts })[]>(
      `SELECT ${rolloutColumns}, coalesce((
           SELECT jsonb_object_agg(state, count) FROM (
             SELECT t.state, count(*)::int AS count FROM scheduler.rollout_targets t WHERE t.rollout = r.id GROUP BY 1
           ) by_state), '{}') AS counts
       FROM scheduler.rollouts r
       WHERE ($1::text IS NULL OR r.state = $1) AND ($2::uuid IS NULL OR r.id < $2)
       ORDER BY r.id DESC LIMIT $3`,
      [query.state, query.after, query.rows_max],
    );
  }

  /** Rollouts that have not ended, oldest first: those after the given one, then the others. */
  async active(after: string, rows_max: number): Promise<RolloutRow[]> {
    return await this.dataSource.query<RolloutRow[]>(
      `SELECT ${rolloutColumns} FROM scheduler.rollouts WHERE ended_at IS NULL ORDER BY id > $1 DESC, id LIMIT $2`,
      [after, rows_max],
    );
  }

  /** All targets, in order, with how their bots are now. */
  async watched(id: string, tx?: Transaction): Promise<WatchedRow[]> {
    return await (tx ?? this.dataSource.manager).query<WatchedRow[]>(
      `SELECT ${targetColumns}, b.generation AS now_generation, b.created_at AS now_created_at, b.desired, b.runtime,
         c.locked_at IS NOT NULL AS locked, tries.list AS tries
       FROM scheduler.rollout_targets t
       LEFT JOIN scheduler.bots b ON b.name = t.bot
       LEFT JOIN scheduler.accounts c ON c.name = b.account
       LEFT JOIN LATERAL (
         SELECT jsonb_agg(jsonb_build_object('id', id, 'state', state, 'stage', stage, 'attempt', attempt,
             'lastExit', last_exit, 'reason', reason, 'detail', detail) ORDER BY epoch DESC) AS list
         FROM (SELECT * FROM scheduler.allocations a
               WHERE a.bot = b.name AND a.bot_generation = b.generation AND a.created_at >= b.created_at
               ORDER BY a.epoch DESC LIMIT $2) newest
       ) tries ON t.state IN ('changing', 'healthy', 'reverting')
       WHERE t.rollout = $1 ORDER BY t.position`,
      [id, tries_max],
    );
  }

  /** The definition a target had before. */
  async before(tx: Transaction, id: string, bot: string): Promise<BotDefinition> {
    const rows = await tx.query<{ before: BotDefinition }[]>(
      'SELECT before FROM scheduler.rollout_targets WHERE rollout = $1 AND bot = $2',
      [id, bot],
    );
    if (rows[0] === undefined) throw new Error('A target of a rollout is gone');
    return rows[0].before;
  }

  async mark(tx: Transaction, id: string, marks: readonly Mark[], now: Date): Promise<void> {
    if (marks.length === 0) return;
    const rows = marks.map(({ bot, state, reason, healthy }) => ({
      bot,
      state,
      reason: reason === null ? null : storableText(reason.slice(0, 300)),
      allocation: healthy?.allocation ?? null,
      attempt: healthy?.attempt ?? null,
      since: healthy === null ? null : new Date(healthy.sinceMs).toISOString(),
    }));
    await tx.query(
      `UPDATE scheduler.rollout_targets t
       SET state = m.state, reason = coalesce(m.reason, t.reason), healthy_allocation = m.allocation, healthy_attempt = m.attempt,
         healthy_since = m.since, updated_at = $3
       FROM jsonb_to_recordset($2::jsonb)
         AS m (bot text, state text, reason text, allocation uuid, attempt int, since timestamptz)
       WHERE t.rollout = $1 AND t.bot = m.bot`,
      [id, JSON.stringify(rows), now],
    );
  }

  /** The bot has the new definition since now. */
  async changed(
    tx: Transaction,
    id: string,
    target: { bot: string; batch: number; generation: number },
    now: Date,
  ): Promise<void> {
    await tx.query(
      `UPDATE scheduler.rollout_targets
       SET state = 'changing', reason = NULL, batch = $3, changed_generation = $4, since = $5, updated_at = $5
       WHERE rollout = $1 AND bot = $2`,
      [id, target.bot, target.batch, target.generation, now],
    );
  }

  /** The bot has its former definition since now. */
  async reverted(
    tx: Transaction,
    id: string,
    target: { bot: string; generation: number },
    now: Date,
  ): Promise<void> {
    await tx.query(
      `UPDATE scheduler.rollout_targets
       SET state = 'reverting', reverted_generation = $3, since = $4, updated_at = $4, healthy_allocation = NULL,
         healthy_attempt = NULL, healthy_since = NULL
       WHERE rollout = $1 AND bot = $2`,
      [id, target.bot, target.generation, now],
    );
  }

  async batchBegun(tx: Transaction, id: string, batch: number, now: Date): Promise<void> {
    await tx.query('UPDATE scheduler.rollouts SET batch = $2, updated_at = $3 WHERE id = $1', [
      id,
      batch,
      now,
    ]);
  }

  /** A rollout that ends lets go of its bots. @param reason null leaves the one it has */
  async enter(
    tx: Transaction,
    id: string,
    to: { state: RolloutState; reason: string | null; by: string; ended: boolean },
    now: Date,
  ): Promise<void> {
    await tx.query(
      `UPDATE scheduler.rollouts SET state = $2, reason = coalesce($3, reason), changed_by = $4, updated_at = $5,
         ended_at = CASE WHEN $6::boolean THEN $5::timestamptz END
       WHERE id = $1`,
      [id, to.state, to.reason?.slice(0, 300) ?? null, to.by, now, to.ended],
    );
    if (to.ended)
      await tx.query('UPDATE scheduler.rollout_targets SET active = false WHERE rollout = $1', [id]);
  }

  /** Forgets why it was paused; the time of bots in flight begins anew. */
  async resumed(tx: Transaction, id: string, now: Date): Promise<void> {
    await tx.query('UPDATE scheduler.rollouts SET reason = NULL WHERE id = $1', [id]);
    await tx.query(
      `UPDATE scheduler.rollout_targets SET since = $2 WHERE rollout = $1 AND state = 'changing'`,
      [id, now],
    );
  }
}
