import type { EventQuery } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { ReaderDatabase } from '../database/reader.js';
import type { Cursor } from './cursor.js';

export type EventFilters = Omit<EventQuery, 'order' | 'limit' | 'after'>;

export interface EventRow {
  readonly id: string;
  readonly source: string;
  readonly incarnation: string;
  /** Decimal: Postgres gives a bigint as text. */
  readonly sequence: string;
  readonly type: string;
  readonly entity: string;
  readonly entity_id: string;
  readonly severity: 'info' | 'notice' | 'warning' | 'critical';
  readonly actor: string;
  readonly time: Date;
  readonly traceparent: string | null;
  readonly data: Record<string, unknown>;
}

/** Column and comparison of each filter. `from` is in the range, `to` is not. */
const conditions: Record<keyof EventFilters, string> = {
  entity: 'entity =',
  entityId: 'entity_id =',
  type: 'type =',
  actor: 'actor =',
  traceId: 'trace_id =',
  from: 'time >=',
  to: 'time <',
};

@Injectable()
export class QueryRepository {
  constructor(private readonly database: ReaderDatabase) {}

  /** Up to `limit` rows after the cursor, in the order of time, then of id. */
  async find(
    filters: EventFilters,
    order: 'asc' | 'desc',
    after: Cursor | null,
    limit: number,
  ): Promise<EventRow[]> {
    const values: unknown[] = [];
    const parameter = (value: unknown) => `$${values.push(value)}`;
    const where = (Object.keys(conditions) as (keyof EventFilters)[])
      .filter((name) => filters[name] !== undefined)
      .map((name) => `${conditions[name]} ${parameter(filters[name])}`);
    if (after !== null) {
      const place = `(${parameter(after.time)}::timestamptz, ${parameter(after.id)}::uuid)`;
      where.push(`(time, id) ${order === 'asc' ? '>' : '<'} ${place}`);
    }
    return await this.database.query<EventRow[]>(
      `SELECT id, source, incarnation, sequence, type, entity, entity_id, severity, actor, time, traceparent, data
         FROM audit.events ${where.length === 0 ? '' : `WHERE ${where.join(' AND ')}`}
        ORDER BY time ${order}, id ${order} LIMIT ${parameter(limit)}`,
      values,
    );
  }
}
