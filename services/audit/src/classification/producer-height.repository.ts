import { Injectable } from '@nestjs/common';
import { ReaderDatabase } from '../database/reader.js';
import type { ProducerPlace } from '../ingestion/recorded-event.js';

type Producer = Pick<ProducerPlace, 'source' | 'incarnation'>;

/** The numbers of an incarnation that are settled. */
export interface KnownHeight extends Producer {
  /** All up to here are; 0: not even the first. */
  readonly upTo: number;
  readonly highest: number;
  /** How many ranges they are in. */
  readonly ranges: number;
}

@Injectable()
export class ProducerHeightRepository {
  constructor(private readonly database: ReaderDatabase) {}

  /** Of those that are known. */
  async heights(producers: readonly Producer[]): Promise<KnownHeight[]> {
    const rows = await this.database.query<(Producer & { up_to: string; highest: string; ranges: string })[]>(
      `SELECT source, incarnation, upper(received) - 1 AS highest,
              (SELECT count(*) FROM unnest(received)) AS ranges,
              coalesce((SELECT upper(range) - 1 FROM unnest(received) AS range WHERE lower(range) = 1), 0) AS up_to
         FROM audit_work.producers JOIN unnest($1::text[], $2::uuid[]) AS asked (source, incarnation)
        USING (source, incarnation) WHERE NOT isempty(received)`,
      [producers.map(({ source }) => source), producers.map(({ incarnation }) => incarnation)],
    );
    return rows.map(({ source, incarnation, up_to, highest, ranges }) => ({
      ...{ source, incarnation },
      ...{ upTo: Number(up_to), highest: Number(highest), ranges: Number(ranges) },
    }));
  }
}
