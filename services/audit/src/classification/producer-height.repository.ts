import { Injectable } from '@nestjs/common';
import { ReaderDatabase } from '../database/reader.js';
import type { ProducerPlace } from '../ingestion/recorded-event.js';

type Producer = Pick<ProducerPlace, 'source' | 'incarnation'>;

@Injectable()
export class ProducerHeightRepository {
  constructor(private readonly database: ReaderDatabase) {}

  /** The highest number that came of each of these, of those that are known. */
  async highest(producers: readonly Producer[]): Promise<(Producer & { readonly highest: number })[]> {
    const rows = await this.database.query<(Producer & { highest: string })[]>(
      `SELECT source, incarnation, upper(received) - 1 AS highest
         FROM audit_work.producers JOIN unnest($1::text[], $2::uuid[]) AS asked (source, incarnation)
        USING (source, incarnation) WHERE NOT isempty(received)`,
      [producers.map(({ source }) => source), producers.map(({ incarnation }) => incarnation)],
    );
    return rows.map((row) => ({ ...row, highest: Number(row.highest) }));
  }
}
