import type { SequenceRange } from '#libs/contracts';
import type { DataSource } from 'typeorm';
import { requireIdentifier } from '../data-source.js';

/** The words of the index `outbox_kept_events`. One that is to be published again has been published before. */
const isKept = 'event IS NOT NULL AND (published_at IS NOT NULL OR refills > 0)';
const confirm_rows_max = 5000;
/** Far more than there are starts while an audit service is away; the oldest come first. */
const incarnations_max = 1024;

/** Events that were published and are not confirmed. */
export class KeptEventsRepository {
  private readonly table: string;

  constructor(schema: string) {
    this.table = `${requireIdentifier(schema)}.outbox`;
  }

  /** The incarnations they were numbered in, oldest first, each with the highest number published. */
  async incarnations(dataSource: DataSource): Promise<{ incarnation: string; last: number }[]> {
    // Steps from one incarnation to the next by the index: there are few of them and may be millions of rows.
    const rows = await dataSource.query<{ incarnation: string; last: string }[]>(
      `WITH RECURSIVE kept AS (
         (SELECT incarnation FROM ${this.table} WHERE ${isKept} ORDER BY incarnation LIMIT 1)
         UNION ALL
         SELECT (SELECT incarnation FROM ${this.table}
                  WHERE ${isKept} AND incarnation > kept.incarnation ORDER BY incarnation LIMIT 1)
           FROM kept WHERE kept.incarnation IS NOT NULL
       )
       SELECT incarnation, (SELECT sequence FROM ${this.table}
                             WHERE ${isKept} AND incarnation = kept.incarnation
                             ORDER BY sequence DESC LIMIT 1) AS last
         FROM kept WHERE incarnation IS NOT NULL LIMIT $1`,
      [incarnations_max],
    );
    return rows.map(({ incarnation, last }) => ({ incarnation, last: Number(last) }));
  }

  /** Deletes those up to a number, some thousands at a time. */
  async confirm(dataSource: DataSource, incarnation: string, upTo: number): Promise<void> {
    let deleted: number;
    do {
      [, deleted] = await dataSource.query<[unknown[], number]>(
        `DELETE FROM ${this.table} WHERE id IN (
           SELECT id FROM ${this.table} WHERE ${isKept} AND incarnation = $1 AND sequence <= $2
            ORDER BY sequence LIMIT $3)`,
        [incarnation, upTo, confirm_rows_max],
      );
    } while (deleted === confirm_rows_max);
  }

  /**
   * Marks events to be published again, unless they wait for that already. Gives the numbers of those that are there,
   * ascending.
   * @param ranges of a few thousand numbers together
   */
  async again(
    dataSource: DataSource,
    incarnation: string,
    ranges: readonly SequenceRange[],
  ): Promise<number[]> {
    // Each by itself, as no planner guesses that a range of numbers is a small part of an incarnation.
    const sequences = ranges.flatMap(([from, to]) =>
      Array.from({ length: to - from + 1 }, (_, index) => from + index),
    );
    const isAskedFor = 'incarnation = $1 AND sequence = ANY ($2::bigint[])';
    await dataSource.query(
      `UPDATE ${this.table} SET published_at = NULL, refills = refills + 1
        WHERE published_at IS NOT NULL AND ${isAskedFor}`,
      [incarnation, sequences],
    );
    const rows = await dataSource.query<{ sequence: string }[]>(
      `SELECT sequence FROM ${this.table} WHERE ${isAskedFor} ORDER BY sequence`,
      [incarnation, sequences],
    );
    return rows.map(({ sequence }) => Number(sequence));
  }

  /** How many, counted up to a bound. */
  async count(dataSource: DataSource, rows_max: number): Promise<number> {
    const rows = await dataSource.query<{ kept: number }[]>(
      `SELECT count(*)::integer AS kept FROM (SELECT 1 FROM ${this.table} WHERE ${isKept} LIMIT $1) AS k`,
      [rows_max],
    );
    return rows[0]?.kept ?? 0;
  }
}
