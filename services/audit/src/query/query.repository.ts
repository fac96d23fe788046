import { CLOCK, type Clock } from '#libs/clock';
import type { EventCount } from '#libs/contracts';
import { Inject, Injectable } from '@nestjs/common';
import { ReaderDatabase } from '../database/reader.js';
import type { Queryable } from '../database/roles.js';
import type { Cursor } from './cursor.js';
import { conditionsOf, type Parameter } from './event.conditions.js';
import { nearest, newestMonths } from './nearest.month.js';
import type { EventRow, Pages, StoredFilter } from './stored.query.js';

/** Events of one bucket and group. */
export interface CountRow {
  /** When the bucket begins, seconds since 1970, decimal. */
  readonly at: string;
  /** Null: one of those beyond the first groups. */
  readonly group: string | null;
  readonly events: string;
  /** Of all that was counted. */
  readonly groups: string;
}

/** The longest that one answer may keep the database busy; the gateway waits five seconds. */
const query_ms_max = 4000;

const columns = `id, position, source, incarnation, sequence, type, entity, entity_id, severity, actor, subject_id, time, traceparent, data`;

/** Reads the log. Every method throws `query_too_costly` for what takes too long. */
@Injectable()
export class QueryRepository {
  constructor(
    private readonly database: ReaderDatabase,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Up to `limit` rows after the place, in the order of time, then of id; and the size of the log they are of. */
  async find(
    filter: StoredFilter,
    { after, order }: Pages,
    limit: number,
  ): Promise<{ rows: EventRow[]; size: number }> {
    return await this.database.bounded(query_ms_max, async (queryable) => {
      const size = after?.size ?? (await sizeOf(queryable));
      const find = async (within: StoredFilter): Promise<EventRow[]> => {
        const { values, parameter } = parameters();
        const where = [...conditionsOf(within, parameter), `position < ${parameter(size)}`];
        if (after !== null) where.push(...beyond(after, order, parameter));
        return await queryable.query<EventRow[]>(
          `SELECT ${columns} FROM audit.events WHERE ${where.join(' AND ')}
            ORDER BY time ${order}, id ${order} LIMIT ${atMost(limit, within, parameter)}`,
          values,
        );
      };
      const near = nearest(filter, { after, order }, this.clock.wallMs());
      const found = near === null ? [] : await find(near);
      return { rows: found.length === limit ? found : await find(filter), size };
    });
  }

  /**
   * Up to `limit` rows at the positions from `from` up to, without, `to`, in their order. What was recorded lately mostly
   * is of lately: the newest months are looked through first, and as positions have no gaps, their number tells whether
   * any other month has one of them. Merely planning for all months of years takes longer than reading a page.
   */
  async range(filter: StoredFilter, from: number, to: number, limit: number): Promise<EventRow[]> {
    return await this.database.bounded(query_ms_max, async (queryable) => {
      const newest = newestMonths(filter, this.clock.wallMs());
      if (newest === null) return await rangeOf(queryable, filter, from, to, limit);
      const rows = await rangeOf(queryable, newest, from, to, limit);
      const last = rows.length === limit ? rows.at(-1) : undefined;
      const end = last === undefined ? to : Number(last.position) + 1;
      const isAll =
        rows.length === end - from || (await countOf(queryable, from, end, newest.from)) === end - from;
      return isAll ? rows : await rangeOf(queryable, filter, from, to, limit);
    });
  }

  /** Events by bucket and, of the `groups` largest ones, by group. @param bucket_s length of a bucket */
  async count(
    filter: StoredFilter,
    bucket_s: number,
    by: EventCount['by'],
    groups: number,
  ): Promise<CountRow[]> {
    const { values, parameter } = parameters();
    const where = conditionsOf(filter, parameter);
    return await this.database.bounded(
      query_ms_max,
      async (queryable) =>
        await queryable.query<CountRow[]>(
          `WITH counted AS MATERIALIZED (
             SELECT date_bin(${parameter(bucket_s)} * interval '1 second', time, to_timestamp(0)) AS bin,
                    ${by ?? "''::text"} AS name, count(*) AS events
               FROM audit.events WHERE ${where.join(' AND ')} GROUP BY 1, 2
           ), shown AS (
             SELECT name, sum(events) AS total FROM counted GROUP BY name
              ORDER BY total DESC, name LIMIT ${parameter(groups)}
           )
           SELECT extract(epoch FROM bin)::bigint AS at, shown.name AS "group", sum(events) AS events,
                  (SELECT count(DISTINCT name) FROM counted) AS groups
             FROM counted LEFT JOIN shown USING (name) GROUP BY 1, 2`,
          values,
        ),
    );
  }

  /** Records in the log: every lower position is committed. */
  async size(): Promise<number> {
    return await sizeOf(this.database);
  }
}

async function sizeOf(queryable: Queryable): Promise<number> {
  const [head] = await queryable.query<{ size: string }[]>('SELECT size FROM audit_work.head');
  if (head === undefined) throw new Error('The head of the log is missing.');
  return Number(head.size);
}

async function rangeOf(
  queryable: Queryable,
  filter: StoredFilter,
  from: number,
  to: number,
  limit: number,
): Promise<EventRow[]> {
  const { values, parameter } = parameters();
  const where = [
    `position >= ${parameter(from)}`,
    `position < ${parameter(to)}`,
    ...conditionsOf(filter, parameter),
  ];
  return await queryable.query<EventRow[]>(
    `SELECT ${columns} FROM audit.events WHERE ${where.join(' AND ')}
      ORDER BY position LIMIT ${atMost(limit, {}, parameter)}`,
    values,
  );
}

/** Records of these positions since a time. */
async function countOf(queryable: Queryable, from: number, to: number, since: string): Promise<number> {
  const [row] = await queryable.query<{ count: string }[]>(
    'SELECT count(*) AS count FROM audit.events WHERE position >= $1 AND position < $2 AND time >= $3',
    [from, to, since],
  );
  return Number(row?.count ?? 0);
}

/**
 * The limit, so that the planner does not know it and plans for a tenth of the rows. Where it knows the limit and expects fewer
 * rows, as it does of a month that has filled since its figures were taken, it plans for all of them: it reads and sorts the
 * rest of the month for each page. For a tenth, an index that has the rows in their order is always cheaper. A word is the
 * exception: its index has no order, and whether it is better than that of time does depend on the limit.
 */
function atMost(limit: number, { text }: StoredFilter, parameter: Parameter): string {
  return text === undefined ? `(SELECT ${parameter(limit)}::bigint)` : parameter(limit);
}

/** The time alone, too: by it the database leaves whole months out. */
function beyond({ time, id }: Cursor, order: 'asc' | 'desc', parameter: Parameter): string[] {
  const sign = order === 'asc' ? '>' : '<';
  const at = `${parameter(time)}::timestamptz`;
  return [`time ${sign}= ${at}`, `(time, id) ${sign} (${at}, ${parameter(id)}::uuid)`];
}

function parameters(): { values: unknown[]; parameter: Parameter } {
  const values: unknown[] = [];
  return { values, parameter: (value) => `$${values.push(value)}` };
}
