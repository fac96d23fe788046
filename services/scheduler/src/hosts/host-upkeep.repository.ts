import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Transaction } from '#libs/persistence';
import { liveStatesSql } from '../allocations/allocation.states.sql.js';

/** A host that has begun or ceased to have less than what is reserved on it. */
export interface CommitmentChange {
  readonly host: string;
  readonly incarnation: string;
  readonly overcommitted: boolean;
  readonly reason: string;
}

const changes = `
  SELECT h.name, h.incarnation, o.over, o.reason
  FROM scheduler.hosts h
  LEFT JOIN (
    SELECT host, count(*)::int AS bots, sum(reserved_cpu_millis) AS cpu, sum(reserved_memory_mib) AS memory
    FROM scheduler.allocations WHERE state IN (${liveStatesSql}) GROUP BY host) r ON r.host = h.name
  CROSS JOIN LATERAL (
    SELECT coalesce(r.bots > h.bots_max OR r.cpu > h.cpu_millis OR r.memory > h.memory_mib, false) AS over,
      format('Reserved: %s bots, %s millicores, %s MiB. It has: %s bots, %s millicores, %s MiB.',
        coalesce(r.bots, 0), coalesce(r.cpu, 0), coalesce(r.memory, 0), h.bots_max, h.cpu_millis, h.memory_mib) AS reason
  ) o
  WHERE o.over <> (h.overcommitted_at IS NOT NULL)`;

/** What the leader notes of hosts of its own accord. */
@Injectable()
export class HostUpkeepRepository {
  constructor(private readonly dataSource: DataSource) {}

  /** Whether `noteCommitments` has something to note; without a lock. */
  async hasCommitmentChanges(): Promise<boolean> {
    const rows = await this.dataSource.query<unknown[]>(`${changes} LIMIT 1`);
    return rows.length > 0;
  }

  /** Notes which hosts have less than what is reserved on them; gives those for which that is new. */
  async noteCommitments(tx: Transaction, now: Date, rows_max: number): Promise<CommitmentChange[]> {
    const [rows] = await tx.query<[CommitmentChange[], number]>(
      `UPDATE scheduler.hosts h SET overcommitted_at = CASE WHEN c.over THEN $1::timestamptz END
       FROM (${changes} ORDER BY h.name LIMIT $2 FOR NO KEY UPDATE OF h) c
       WHERE h.name = c.name
       RETURNING h.name AS host, h.incarnation, c.over AS overcommitted, c.reason`,
      [now, rows_max],
    );
    return rows;
  }
}
