import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Transaction } from '#libs/persistence';
import { liveStatesSql } from '../allocations/allocation.states.sql.js';

/** A drain as an event tells of it. */
export interface DrainNews {
  readonly host: string;
  readonly reason: string;
  readonly by: string;
  readonly total: number;
  readonly left: number;
  readonly onDeadline: 'keep' | 'stop';
  readonly begunAt: Date;
}

const columns = `h.name AS host, coalesce(h.drain_reason, '') AS reason, coalesce(h.drain_by, 'service:scheduler') AS by,
  h.drain_total AS total, h.drain_on_deadline AS "onDeadline", h.drain_at AS "begunAt"`;
const leftSql = `(SELECT count(*)::int FROM scheduler.allocations a WHERE a.host = h.name AND a.state IN (${liveStatesSql}))`;
const overdueSql = `h.state = 'draining' AND h.drain_overdue_at IS NULL AND h.drain_ended_at IS NULL
  AND h.drain_deadline_at <= $1 AND ${leftSql} > 0`;
const emptySql = `h.state = 'draining' AND h.drain_ended_at IS NULL AND h.drain_at IS NOT NULL AND ${leftSql} = 0`;

/** How far drains are: what is past its deadline, and what has ended. Each is said once. */
@Injectable()
export class DrainRepository {
  constructor(private readonly dataSource: DataSource) {}

  /** Whether any host being drained has something to be said of. */
  async hasNews(now: Date): Promise<boolean> {
    const rows = await this.dataSource.query<unknown[]>(
      `SELECT 1 FROM scheduler.hosts h WHERE (${overdueSql}) OR (${emptySql}) LIMIT 1`,
      [now],
    );
    return rows.length > 0;
  }

  /** Marks drains whose deadline has passed with bots left. */
  async markOverdue(tx: Transaction, now: Date): Promise<DrainNews[]> {
    const [rows] = await tx.query<[DrainNews[], number]>(
      `UPDATE scheduler.hosts h SET drain_overdue_at = $1 WHERE ${overdueSql} RETURNING ${columns}, ${leftSql} AS left`,
      [now],
    );
    return rows;
  }

  /** Marks drains that have left nothing. */
  async markEnded(tx: Transaction, now: Date): Promise<DrainNews[]> {
    const [rows] = await tx.query<[DrainNews[], number]>(
      `UPDATE scheduler.hosts h SET drain_ended_at = $1 WHERE ${emptySql} RETURNING ${columns}, 0 AS left`,
      [now],
    );
    return rows;
  }

  /** Bots that live on these hosts. */
  async botsOn(tx: Transaction, hosts: readonly string[]): Promise<string[]> {
    const rows = await tx.query<{ bot: string }[]>(
      `SELECT DISTINCT bot FROM scheduler.allocations WHERE host = ANY($1) AND state IN (${liveStatesSql})`,
      [hosts],
    );
    return rows.map((row) => row.bot);
  }
}
