import type { SequenceRange } from '#libs/contracts';
import type { Transaction } from '#libs/persistence';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { countOf, parseMultirange, toMultirange, type Ranges } from './ranges.js';

export interface Incarnation {
  readonly source: string;
  readonly incarnation: string;
}

/** A gap that has neither been refilled nor lost altogether. */
export interface OpenGap {
  readonly id: string;
  readonly range: SequenceRange;
  /** Of its numbers, how many are gone for good. */
  readonly lost: number;
}

export interface GapRow {
  readonly id: string;
  /** Id of the row that found it. */
  readonly gap: string;
  readonly range: SequenceRange;
  readonly outcome: 'found' | 'refilled' | 'lost';
  readonly detail: string | null;
}

/** What is known of one incarnation. */
export interface ProducerState {
  readonly received: Ranges;
  readonly open: readonly OpenGap[];
}

const nothing: ProducerState = { received: [], open: [] };
/** Open gaps of one incarnation that are looked at. */
const open_max = 64;

const stateSql = `
  SELECT incarnation, coalesce(received, '{}')::text AS received,
         (SELECT coalesce(json_agg(gap ORDER BY gap.first), '[]') FROM (
            SELECT found.id, found.first, found.last, coalesce(sum(lost.last - lost.first + 1), 0) AS lost
              FROM audit.gaps AS found
              LEFT JOIN audit.gaps AS lost ON lost.gap = found.id AND lost.outcome = 'lost'
             WHERE found.source = $1 AND found.incarnation = asked.incarnation
               AND found.outcome = 'found' AND found.gap = found.id
               AND NOT EXISTS (SELECT FROM audit.gaps AS closing
                                WHERE closing.gap = found.id AND closing.outcome = 'refilled')
             GROUP BY found.id
            HAVING coalesce(sum(lost.last - lost.first + 1), 0) < found.last - found.first + 1
             ORDER BY found.first LIMIT ${open_max}) AS gap) AS open
    FROM unnest($2::uuid[]) AS asked (incarnation)
    LEFT JOIN (SELECT incarnation, received FROM audit_work.producers WHERE source = $1) AS producer
   USING (incarnation)`;

/** What came of each producer, and what did not. */
@Injectable()
export class GapRepository {
  constructor(private readonly dataSource: DataSource) {}

  async states(source: string, incarnations: readonly string[]): Promise<ReadonlyMap<string, ProducerState>> {
    return await statesBy(this.dataSource, source, incarnations);
  }

  /** Until the transaction ends, nobody else records gaps of this incarnation. */
  async lock(tx: Transaction, { source, incarnation }: Incarnation): Promise<ProducerState> {
    await tx.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 1))', [
      `tradefleet:audit:gaps:${source}:${incarnation}`,
    ]);
    return (await statesBy(tx, source, [incarnation])).get(incarnation) ?? nothing;
  }

  async add(
    tx: Transaction,
    { source, incarnation }: Incarnation,
    rows: readonly GapRow[],
    at: Date,
  ): Promise<void> {
    if (rows.length === 0) return;
    await tx.query(
      `INSERT INTO audit.gaps (id, gap, source, incarnation, first, last, outcome, detail, recorded_at)
       SELECT id, gap, $1, $2, first, last, outcome, detail, $3
         FROM unnest($4::uuid[], $5::uuid[], $6::bigint[], $7::bigint[], $8::text[], $9::text[])
              AS new (id, gap, first, last, outcome, detail)`,
      [
        ...[source, incarnation, at],
        rows.map(({ id }) => id),
        rows.map(({ gap }) => gap),
        rows.map(({ range }) => range[0]),
        rows.map(({ range }) => range[1]),
        rows.map(({ outcome }) => outcome),
        rows.map(({ detail }) => detail),
      ],
    );
  }

  /** Nothing more will come of these numbers. Also makes the producer known. */
  async settle(
    tx: Transaction,
    { source, incarnation }: Incarnation,
    ranges: Ranges,
    at: Date,
  ): Promise<void> {
    await tx.query(
      `INSERT INTO audit_work.producers AS old (source, incarnation, received, first_seen_at, changed_at)
       VALUES ($1, $2, $3::int8multirange, $4, $4)
       ON CONFLICT (source, incarnation) DO UPDATE
          SET received = old.received + excluded.received, changed_at = excluded.changed_at`,
      [source, incarnation, toMultirange(ranges), at],
    );
  }

  /** Its producer asks how far these are. */
  async markAsked(source: string, incarnations: readonly string[], at: Date): Promise<void> {
    await this.dataSource.query(
      'UPDATE audit_work.producers SET asked_at = $3 WHERE source = $1 AND incarnation = ANY ($2::uuid[])',
      [source, incarnations, at],
    );
  }

  /** Gaps of a source that were found since then, over all its incarnations. */
  async countFound(tx: Transaction, source: string, since: Date): Promise<number> {
    const [row] = await tx.query<{ count: number }[]>(
      'SELECT count(*)::integer AS count FROM audit.gaps WHERE source = $1 AND id = gap AND recorded_at > $2',
      [source, since],
    );
    return row?.count ?? 0;
  }
}

interface StateRow {
  readonly incarnation: string;
  readonly received: string;
  readonly open: readonly { id: string; first: number; last: number; lost: number }[];
}

async function statesBy(
  database: Pick<Transaction, 'query'>,
  source: string,
  incarnations: readonly string[],
): Promise<ReadonlyMap<string, ProducerState>> {
  const rows = await database.query<StateRow[]>(stateSql, [source, incarnations]);
  return new Map(
    rows.map(({ incarnation, received, open }) => [
      incarnation,
      {
        received: parseMultirange(received),
        open: open.map(({ id, first, last, lost }) => ({ id, range: [first, last], lost })),
      },
    ]),
  );
}

/** Whether nothing of the gap is missing any more. */
export const isCovered = ({ range }: OpenGap, received: Ranges): boolean =>
  received.some(([from, to]) => from <= range[0] && range[1] <= to);

export const lengthOf = (range: SequenceRange): number => countOf([range]);
