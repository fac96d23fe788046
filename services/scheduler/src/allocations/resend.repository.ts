import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Transaction } from '#libs/persistence';
import type { PlacedAllocation, StoppingAllocation } from './allocation.rows.js';
import { liveStatesSql } from './allocation.states.sql.js';

/** Finds allocations whose last command came to nothing. */
@Injectable()
export class ResendRepository {
  constructor(private readonly dataSource: DataSource) {}

  /**
   * Ids of allocations that wait for the effect of a command for longer than its backoff, the longest first.
   * @param wait.first_ms after the first command; doubles with each, up to `max_ms`
   * @param wait.withStarts whether starts are meant too, and not stops alone
   */
  async due(
    now: Date,
    wait: { first_ms: number; max_ms: number; withStarts: boolean },
    rows_max: number,
  ): Promise<string[]> {
    const rows = await this.dataSource.query<{ id: string }[]>(
      `SELECT a.id FROM scheduler.allocations a
       WHERE a.state IN (${liveStatesSql}) AND ((a.state = 'placed' AND $5) OR a.stop_requested_at IS NOT NULL)
         AND a.commanded_at + make_interval(
               secs => least($2 * power(2, least(greatest(a.commands_sent, 1) - 1, 20)), $3) / 1000.0) <= $1
       ORDER BY a.commanded_at, a.id LIMIT $4`,
      [now, wait.first_ms, wait.max_ms, rows_max, wait.withStarts],
    );
    return rows.map((row) => row.id);
  }

  /**
   * Allocations whose start was sent `sends_max` times and more, the last time long enough ago, and never taken up.
   * Those of hosts that are down are not meant: they are lost.
   */
  async hopeless(
    now: Date,
    sends_max: number,
    wait_ms: number,
    rows_max: number,
  ): Promise<{ id: string; host: string }[]> {
    return this.dataSource.query<{ id: string; host: string }[]>(
      `SELECT a.id, a.host FROM scheduler.allocations a JOIN scheduler.hosts h ON h.name = a.host AND h.state <> 'down'
       WHERE a.state = 'placed' AND a.stop_requested_at IS NULL AND a.commands_sent >= $2
         AND a.commanded_at + make_interval(secs => $3 / 1000.0) <= $1
       ORDER BY a.commanded_at, a.id LIMIT $4`,
      [now, sends_max, wait_ms, rows_max],
    );
  }

  /**
   * Of these the ones that still wait, locked. A start is left out when its bot was changed meanwhile: that
   * allocation is about to be replaced.
   */
  async lock(
    tx: Transaction,
    ids: readonly string[],
  ): Promise<{ starts: PlacedAllocation[]; stops: StoppingAllocation[] }> {
    const starts = await tx.query<(Omit<PlacedAllocation, 'login'> & { login: string })[]>(
      `SELECT a.id, a.host, a.epoch, b.name AS bot, b.generation, b.tenant, b.account, c.server, c.login, b.runtime,
              b.version, b.parameters, b.resources, b.constraints, b.policies, b.changed_by AS "changedBy",
              h.sealing_key AS "sealingKey"
       FROM scheduler.allocations a
       JOIN scheduler.bots b ON b.name = a.bot AND b.generation = a.bot_generation AND b.desired = 'running'
       JOIN scheduler.accounts c ON c.name = a.account AND c.locked_at IS NULL
       JOIN scheduler.hosts h ON h.name = a.host
       WHERE a.id = ANY($1) AND a.state = 'placed' AND a.stop_requested_at IS NULL
       ORDER BY a.id FOR NO KEY UPDATE OF a`,
      [ids],
    );
    const stops = await tx.query<StoppingAllocation[]>(
      `SELECT a.id, a.tenant, a.bot, a.account, a.host, a.epoch, a.stop_reason AS "stopReason",
              coalesce((b.policies->>'stopGraceMs')::int, 0) AS "graceMs",
              coalesce(a.stop_actor, b.changed_by, 'service:scheduler') AS actor
       FROM scheduler.allocations a LEFT JOIN scheduler.bots b ON b.name = a.bot
       WHERE a.id = ANY($1) AND a.state IN (${liveStatesSql}) AND a.stop_requested_at IS NOT NULL
       ORDER BY a.id FOR NO KEY UPDATE OF a`,
      [ids],
    );
    return { starts: starts.map((row) => ({ ...row, login: Number(row.login) })), stops };
  }
}
