import type { Severity } from '#libs/contracts';
import type { Transaction } from '#libs/persistence';
import { Injectable } from '@nestjs/common';
import { ReaderDatabase } from '../../database/reader.js';
import type { Queryable } from '../../database/roles.js';
import type { WeekRange } from './week.js';

/** Something with a name, how often. */
export interface Counted<N extends string = string> {
  readonly name: N;
  readonly count: number;
}

/** What the log has of one week, as far as it went at `asOf`. */
export interface WeekFacts {
  readonly asOf: number;
  readonly types: readonly { readonly type: string; readonly severity: Severity; readonly count: number }[];
  readonly security: readonly {
    readonly event_type: string;
    readonly result: string;
    readonly count: number;
  }[];
  readonly refused: readonly {
    readonly action: string;
    readonly code: string | null;
    readonly count: number;
  }[];
  readonly suppressed: number;
  readonly actors: readonly Counted[];
  /** By entity, of single types. */
  readonly entities: readonly (Counted & { readonly type: string })[];
  readonly gaps: readonly { readonly outcome: string; readonly count: number; readonly events: number }[];
  readonly quarantined: readonly Counted[];
  readonly checkpoints: number;
  readonly lastCheckpoint: { readonly size: number; readonly root: string; readonly at: Date } | null;
}

/** A report as it was made when its week was over. */
export interface StoredReport {
  readonly body: string;
  readonly digest: string;
}

const top_max = 20;
const entities_max = 100;
/** Types that a report counts by what they are about. */
const byEntity = [
  'tradefleet.host.registered',
  'tradefleet.host.removed',
  'tradefleet.credential.set',
  'tradefleet.security.unusual-activity',
];

@Injectable()
export class ReportRepository {
  constructor(private readonly reader: ReaderDatabase) {}

  /** All of one moment. @param ms_max for each statement. Throws `query_too_costly`. */
  async facts({ from, to }: WeekRange, ms_max: number): Promise<WeekFacts> {
    return await this.reader.bounded(ms_max, async (queryable) => {
      const [head] = await queryable.query<{ size: string }[]>('SELECT size FROM audit_work.head');
      const asOf = Number(head?.size ?? 0);
      return {
        asOf,
        ...(await ofEvents(queryable, [from, to, asOf])),
        ...(await ofLog(queryable, [from, to])),
      };
    });
  }

  /** Whether anything is recorded of before an instant. */
  async knowsBefore(instant: Date): Promise<boolean> {
    const rows = await this.reader.query<unknown[]>('SELECT 1 FROM audit.events WHERE time < $1 LIMIT 1', [
      instant,
    ]);
    return rows.length > 0;
  }

  /** Null: there is none. */
  async stored(week: string): Promise<StoredReport | null> {
    const rows = await this.reader.query<StoredReport[]>(
      'SELECT body, digest FROM audit.reports WHERE week = $1',
      [week],
    );
    return rows[0] ?? null;
  }

  /** False: another process was first. */
  async store(
    tx: Transaction,
    { week, asOf, body, digest }: StoredReport & { readonly week: string; readonly asOf: number },
    now: Date,
  ): Promise<boolean> {
    const rows = await tx.query<unknown[]>(
      `INSERT INTO audit.reports (week, as_of, body, digest, created_at) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT (week) DO NOTHING RETURNING week`,
      [week, asOf, body, digest, now],
    );
    return rows.length > 0;
  }
}

/** Postgres gives a bigint as text. */
const counted = <R extends { readonly count: string }>(rows: readonly R[]) =>
  rows.map((row) => ({ ...row, count: Number(row.count) }));

/** @param values from, to, size of the log */
async function ofEvents(queryable: Queryable, values: readonly unknown[]) {
  const query = async <R extends object>(sql: string, more: readonly unknown[] = []) =>
    counted(await queryable.query<(R & { count: string })[]>(sql, [...values, ...more]));
  const events = 'FROM audit.events WHERE time >= $1 AND time < $2 AND position < $3';
  const security =
    'FROM audit.security_events WHERE "timestamp" >= $1 AND "timestamp" < $2 AND position < $3';
  return {
    types: await query<{ type: string; severity: Severity }>(
      `SELECT type, severity, count(*) ${events} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2`,
    ),
    security: await query<{ event_type: string; result: string }>(
      `SELECT event_type, result, count(*) ${security} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2`,
    ),
    refused: await query<{ action: string; code: string | null }>(
      `SELECT action, code, count(*) ${security} AND result = 'denied'
          AND type <> 'tradefleet.request.refusals-suppressed'
        GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT ${top_max}`,
    ),
    suppressed: sum(
      await query(
        `SELECT (data ->> 'count')::bigint AS count ${events} AND type = 'tradefleet.request.refusals-suppressed'`,
      ),
    ),
    actors: await query<{ name: string }>(
      `SELECT user_id AS name, count(*) ${security} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ${top_max}`,
    ),
    entities: await query<{ type: string; name: string }>(
      `SELECT type, name, count FROM (
         SELECT type, entity_id AS name, count(*),
                row_number() OVER (PARTITION BY type ORDER BY count(*) DESC, entity_id) AS place
           ${events} AND type = ANY ($4) GROUP BY 1, 2) ranked
        WHERE place <= ${entities_max} ORDER BY type, place`,
      [byEntity],
    ),
  };
}

/** @param values from, to */
async function ofLog(queryable: Queryable, values: readonly unknown[]) {
  const gaps = await queryable.query<{ outcome: string; count: string; events: string }[]>(
    `SELECT outcome, count(*), sum(last - first + 1) AS events FROM audit.gaps
      WHERE recorded_at >= $1 AND recorded_at < $2 GROUP BY 1`,
    [...values],
  );
  const quarantined = await queryable.query<{ name: string; count: string }[]>(
    `SELECT code AS name, count(*) FROM audit.quarantine WHERE recorded_at >= $1 AND recorded_at < $2
      GROUP BY 1 ORDER BY 2 DESC, 1`,
    [...values],
  );
  const checkpoints = await queryable.query<{ count: string; size: string; root: string; at: Date }[]>(
    `SELECT count(*) OVER () AS count, size, encode(root, 'base64') AS root, created_at AS at FROM audit.checkpoints
      WHERE created_at >= $1 AND created_at < $2 ORDER BY created_at DESC, size DESC LIMIT 1`,
    [...values],
  );
  const [last] = checkpoints;
  return {
    gaps: counted(gaps).map((row) => ({ ...row, events: Number(row.events) })),
    quarantined: counted(quarantined),
    checkpoints: Number(last?.count ?? 0),
    lastCheckpoint: last === undefined ? null : { size: Number(last.size), root: last.root, at: last.at },
  };
}

const sum = (rows: readonly { readonly count: number }[]): number =>
  rows.reduce((total, { count }) => total + count, 0);
