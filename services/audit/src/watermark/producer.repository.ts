import type { GapList, GapState, ProducerList } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { ReaderDatabase } from '../database/reader.js';
import { silent } from './gap.ledger.js';
import type { Incarnation } from './gap.repository.js';

export interface ProducerRow extends Incarnation {
  /** Text of a multirange. */
  readonly received: string;
  readonly first_seen_at: Date;
  readonly changed_at: Date;
}

export interface GapListRow extends Incarnation {
  readonly id: string;
  /** Decimal: Postgres gives a bigint as text. */
  readonly first: string;
  readonly last: string;
  readonly state: GapState;
  readonly lost: string;
  readonly detail: string | null;
  readonly found_at: Date;
  readonly closed_at: Date | null;
}

/** Where a page of gaps ends. */
export interface GapPlace {
  readonly foundAt: string;
  readonly id: string;
}

const hasHoles = '((SELECT count(*) FROM unnest(received)) > 1 OR lower(received) > 1)';

/** Reads what is known of producers and gaps; see `GapRepository` for what changes it. */
@Injectable()
export class ProducerRepository {
  constructor(private readonly database: ReaderDatabase) {}

  /** By source, of each the newest incarnation first: an incarnation is named by an id that sorts by time. */
  async list(
    { source, incomplete }: Pick<ProducerList, 'source' | 'incomplete'>,
    after: Incarnation | null,
    limit: number,
  ): Promise<ProducerRow[]> {
    return await this.database.query<ProducerRow[]>(
      `SELECT source, incarnation, received::text AS received, first_seen_at, changed_at FROM audit_work.producers
        WHERE ($1::text IS NULL OR source = $1) AND (NOT $2 OR ${hasHoles})
          AND ($3::text IS NULL OR source > $3 OR (source = $3 AND incarnation < $4::uuid))
        ORDER BY source, incarnation DESC LIMIT $5`,
      [source ?? null, incomplete, after?.source ?? null, after?.incarnation ?? null, limit],
    );
  }

  /** The newest first. */
  async gaps(
    { source, state }: Pick<GapList, 'source' | 'state'>,
    after: GapPlace | null,
    limit: number,
  ): Promise<GapListRow[]> {
    return await this.database.query<GapListRow[]>(
      `SELECT * FROM (
         SELECT found.id, found.source, found.incarnation, found.first, found.last, found.recorded_at AS found_at,
                coalesce(closing.lost, 0) AS lost,
                CASE WHEN closing.refilled_at IS NULL AND coalesce(closing.lost, 0) < found.last - found.first + 1
                     THEN 'open' WHEN closing.lost > 0 THEN 'lost' ELSE 'refilled' END AS state,
                CASE WHEN closing.refilled_at IS NOT NULL THEN closing.refilled_at
                     WHEN closing.lost = found.last - found.first + 1 THEN closing.lost_at END AS closed_at,
                coalesce(closing.detail, found.detail) AS detail
           FROM audit.gaps AS found
          CROSS JOIN LATERAL (
            SELECT sum(last - first + 1) FILTER (WHERE outcome = 'lost') AS lost,
                   max(recorded_at) FILTER (WHERE outcome = 'lost') AS lost_at,
                   max(recorded_at) FILTER (WHERE outcome = 'refilled') AS refilled_at,
                   max(detail) AS detail
              FROM audit.gaps AS later WHERE later.gap = found.id AND later.id <> found.id) AS closing
          WHERE found.id = found.gap
            AND ($1::text IS NULL OR found.source = $1)
            AND ($3::timestamptz IS NULL OR (found.recorded_at, found.id) < ($3, $4::uuid))
       ) AS gap
        WHERE $2::text IS NULL OR state = $2
        ORDER BY found_at DESC, id DESC LIMIT $5`,
      [source ?? null, state ?? null, after?.foundAt ?? null, after?.id ?? null, limit],
    );
  }

  /** Producers of which something is missing, that have been silent since, and of whom that has not been told. */
  async silentSince(since: Date, limit: number): Promise<Incarnation[]> {
    return await this.database.query<Incarnation[]>(
      `SELECT source, incarnation FROM audit_work.producers AS producer
        WHERE changed_at < $1 AND (asked_at IS NULL OR asked_at < $1)
          AND (${hasHoles} OR EXISTS (
                SELECT FROM audit.gaps AS found
                 WHERE found.source = producer.source AND found.incarnation = producer.incarnation
                   AND found.id = found.gap
                   AND NOT EXISTS (SELECT FROM audit.gaps AS closing
                                    WHERE closing.gap = found.id AND closing.outcome <> 'found')))
          AND NOT EXISTS (
                SELECT FROM audit.gaps AS told
                 WHERE told.source = producer.source AND told.incarnation = producer.incarnation
                   AND told.detail = $2 AND told.recorded_at >= greatest(producer.changed_at, producer.asked_at))
        ORDER BY changed_at LIMIT $3`,
      [since, silent, limit],
    );
  }
}
