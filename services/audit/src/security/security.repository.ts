import type {
  SecurityEventQuery,
  SecurityEventType,
  SecurityResult,
  SecuritySeverity,
} from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { ReaderDatabase } from '../database/reader.js';
import type { Queryable } from '../database/roles.js';
import type { Cursor } from '../query/cursor.js';

/** A row of the view, as the log holds it. */
export interface SecurityRow {
  readonly timestamp: Date;
  readonly event_type: SecurityEventType;
  readonly severity: SecuritySeverity;
  readonly user_id: string;
  readonly ip_address: string | null;
  readonly action: string;
  readonly details: Record<string, unknown>;
  readonly result: SecurityResult;
  readonly event_id: string;
  readonly type: string;
  readonly subject_id: string | null;
}

export type SecurityFilter = Pick<
  SecurityEventQuery,
  'eventType' | 'severity' | 'result' | 'action' | 'from' | 'to'
> & {
  /** One of these, as the log names them. */
  readonly users?: readonly string[] | undefined;
};

/** The longest that one answer may keep the database busy; the gateway waits five seconds. */
const query_ms_max = 4000;

const worse: Record<SecuritySeverity, readonly SecuritySeverity[]> = {
  low: ['low', 'medium', 'high', 'critical'],
  medium: ['medium', 'high', 'critical'],
  high: ['high', 'critical'],
  critical: ['critical'],
};

@Injectable()
export class SecurityRepository {
  constructor(private readonly database: ReaderDatabase) {}

  /**
   * Up to `limit` rows after the place, in the order of time, then of id; and the size of the log they are of. The types
   * are named in the statement: few events are found by the index of types, many by that of time, as statistics tell.
   * Throws `query_too_costly`.
   */
  async find(
    filter: SecurityFilter,
    { after, order }: { readonly after: Cursor | null; readonly order: 'asc' | 'desc' },
    limit: number,
  ): Promise<{ rows: SecurityRow[]; size: number }> {
    return await this.database.bounded(query_ms_max, async (queryable) => {
      const size = after?.size ?? (await sizeOf(queryable));
      const values: unknown[] = [];
      const parameter = (value: unknown): string => `$${values.push(value)}`;
      const where = [
        `v.type = ANY (${parameter(await typesOf(queryable, filter))})`,
        ...conditionsOf(filter, parameter),
        `v.position < ${parameter(size)}`,
      ];
      if (after !== null) {
        const at = `${parameter(after.time)}::timestamptz`;
        const sign = order === 'asc' ? '>' : '<';
        // The time alone, too: by it the database leaves whole months out.
        where.push(`v.timestamp ${sign}= ${at}`);
        where.push(`(v.timestamp, v.event_id) ${sign} (${at}, ${parameter(after.id)}::uuid)`);
      }
      const rows = await queryable.query<SecurityRow[]>(
        `SELECT v.* FROM audit.security_events v WHERE ${where.join(' AND ')}
          ORDER BY v.timestamp ${order}, v.event_id ${order} LIMIT ${parameter(limit)}`,
        values,
      );
      return { rows, size };
    });
  }
}

async function typesOf(queryable: Queryable, { eventType, result }: SecurityFilter): Promise<string[]> {
  const rows = await queryable.query<{ type: string }[]>(
    `SELECT type FROM audit.security_types
      WHERE ($1::text IS NULL OR event_type = $1) AND ($2::text IS NULL OR result = $2)`,
    [eventType ?? null, result ?? null],
  );
  return rows.map(({ type }) => type);
}

const equal = (column: string, value: unknown, parameter: (value: unknown) => string): string[] =>
  value === undefined ? [] : [`${column} = ${parameter(value)}`];

function conditionsOf(filter: SecurityFilter, parameter: (value: unknown) => string): string[] {
  const { severity, users, action, from, to } = filter;
  const conditions = equal('v.action', action, parameter);
  if (severity !== undefined) conditions.push(`v.severity = ANY (${parameter(worse[severity])})`);
  if (users !== undefined) conditions.push(`v.user_id = ANY (${parameter(users)})`);
  if (from !== undefined) conditions.push(`v.timestamp >= ${parameter(from)}::timestamptz`);
  if (to !== undefined) conditions.push(`v.timestamp < ${parameter(to)}::timestamptz`);
  return conditions;
}

async function sizeOf(queryable: Queryable): Promise<number> {
  const [head] = await queryable.query<{ size: string }[]>('SELECT size FROM audit_work.head');
  if (head === undefined) throw new Error('The head of the log is missing.');
  return Number(head.size);
}
