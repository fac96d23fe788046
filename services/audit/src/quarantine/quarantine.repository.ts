import type { QuarantineList } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { ReaderDatabase } from '../database/reader.js';

export interface QuarantineRow {
  /** Hexadecimal. */
  readonly digest: string;
  readonly subject: string;
  readonly code: string;
  readonly reason: string;
  readonly source: string | null;
  readonly recorded_at: Date;
}

/** Where a page ends. */
export interface QuarantinePlace {
  /** Microseconds since 1970, decimal: the column is as fine. */
  readonly micros: string;
  readonly digest: string;
}

export type PlacedQuarantineRow = QuarantineRow & { readonly micros: string };

@Injectable()
export class QuarantineRepository {
  constructor(private readonly database: ReaderDatabase) {}

  /** Newest first. */
  async list(
    { code, source }: Pick<QuarantineList, 'code' | 'source'>,
    after: QuarantinePlace | null,
    limit: number,
  ): Promise<PlacedQuarantineRow[]> {
    return await this.database.query<PlacedQuarantineRow[]>(
      `SELECT encode(digest, 'hex') AS digest, subject, code, reason, source, recorded_at,
              (extract(epoch FROM recorded_at) * 1000000)::bigint::text AS micros
         FROM audit.quarantine
        WHERE ($1::text IS NULL OR code = $1) AND ($2::text IS NULL OR source = $2)
          AND ($3::bigint IS NULL
               OR (recorded_at, digest) < (to_timestamp(0) + $3 * interval '1 microsecond', decode($4, 'hex')))
        ORDER BY recorded_at DESC, digest DESC LIMIT $5`,
      [code ?? null, source ?? null, after?.micros ?? null, after?.digest ?? null, limit],
    );
  }
}
