import { recordLine, type LogCheckpoint, type LogRecord } from '#libs/contracts';
import { tileReader, type ReadTile } from '#libs/tlog';
import { Injectable } from '@nestjs/common';
import { ReaderDatabase } from '../database/reader.js';
import { storedHashes } from './hash.repository.js';

/** A record where it stands. */
export interface PlacedLine {
  readonly position: number;
  readonly line: string;
}

/** Rows from a position on, and how far the log was at that moment. */
export interface PlacedLines {
  readonly origin: string;
  readonly size: number;
  readonly lines: readonly PlacedLine[];
}

/** A record that is here no more. */
export interface ArchivedPosition {
  readonly position: number;
  readonly archive: string;
}

/** Positions are archived in stretches of so many. */
const archived_chunk = 65_536;

/** A record as a row. */
export type RecordRow = Omit<LogRecord, 'v' | 'sequence' | 'time' | 'recordedAt'> & {
  readonly position: string;
  readonly sequence: string;
  readonly time: Date;
  readonly recordedAt: Date;
};
type CheckpointRow = Omit<LogCheckpoint, 'size' | 'root' | 'createdAt'> & {
  readonly size: string;
  readonly root: Buffer;
  readonly createdAt: Date;
};

/** Of a `RecordRow`. */
export const recordColumns = `position, id, source, incarnation, sequence, type, entity || '/' || entity_id AS subject, severity,
  retention, actor, subject_id AS "subjectId", time, traceparent, recorded_at AS "recordedAt", signature,
  data::text AS data`;
const checkpointColumns = 'origin, size, root, note, created_at AS "createdAt"';

/** Reads the log as it is hashed, as the reader. */
@Injectable()
export class LogReader {
  constructor(private readonly database: ReaderDatabase) {}

  async head(): Promise<{ origin: string; size: number }> {
    const [head] = await this.database.query<{ origin: string; size: string }[]>(
      'SELECT origin, size FROM audit_work.head',
    );
    if (head === undefined) throw new Error('The head of the log is missing.');
    return { origin: head.origin, size: Number(head.size) };
  }

  /** A reader for one question about a log of this size. */
  tiles(size: number): ReadTile {
    return tileReader(size, storedHashes(this.database));
  }

  /** Up to `limit` records from a position on, in one statement with the head: nothing is committed in between. */
  async lines(from: number, limit: number): Promise<PlacedLines> {
    const rows = await this.database.query<(RecordRow & { origin: string; size: string })[]>(
      `SELECT head.origin, head.size, record.*
         FROM audit_work.head LEFT JOIN LATERAL (
           SELECT ${recordColumns} FROM audit.events WHERE position >= $1 ORDER BY position, id LIMIT $2
         ) AS record ON true ORDER BY record.position, record.id`,
      [from, limit],
    );
    const [first] = rows;
    if (first === undefined) throw new Error('The head of the log is missing.');
    // Without a record there is one row all the same, for the head.
    const lines = (first.id as string | null) === null ? [] : rows.map(toPlacedLine);
    return { origin: first.origin, size: Number(first.size), lines };
  }

  async line(position: number): Promise<string | null> {
    const [row] = await this.database.query<RecordRow[]>(
      `SELECT ${recordColumns} FROM audit.events WHERE position = $1 LIMIT 1`,
      [position],
    );
    return row === undefined ? null : toPlacedLine(row).line;
  }

  /** Which of these positions are in an archive alone. */
  async archived(positions: readonly number[]): Promise<ArchivedPosition[]> {
    if (positions.length === 0) return [];
    const rows = await this.database.query<{ position: string; archive: string }[]>(
      `SELECT DISTINCT ON (p.position) p.position, archive
         FROM unnest($1::bigint[], $2::bigint[]) AS p (position, chunk)
         JOIN audit.archived_positions AS held ON held.chunk = p.chunk AND held.positions @> p.position
        ORDER BY p.position`,
      [positions, positions.map((position) => Math.floor(position / archived_chunk))],
    );
    return rows.map((row) => ({ position: Number(row.position), archive: row.archive }));
  }

  /** An id says the time of its event, which says the partition. */
  async positionOf(id: string): Promise<number | null> {
    const ms = Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16);
    const [row] = await this.database.query<{ position: string }[]>(
      'SELECT position FROM audit.events WHERE id = $1 AND time = $2 LIMIT 1',
      [id, new Date(ms)],
    );
    return row === undefined ? null : Number(row.position);
  }

  async lastCheckpoint(origin: string): Promise<LogCheckpoint | null> {
    const [last] = await this.checkpoints(origin, 'desc', null, 1);
    return last ?? null;
  }

  async noteOf(origin: string, size: number): Promise<string | null> {
    const [row] = await this.database.query<{ note: string }[]>(
      'SELECT note FROM audit.checkpoints WHERE origin = $1 AND size = $2',
      [origin, size],
    );
    return row?.note ?? null;
  }

  async checkpoints(
    origin: string,
    order: 'asc' | 'desc',
    after: number | null,
    limit: number,
  ): Promise<LogCheckpoint[]> {
    const rows = await this.database.query<CheckpointRow[]>(
      `SELECT ${checkpointColumns} FROM audit.checkpoints
        WHERE origin = $1 AND ($2::bigint IS NULL OR size ${order === 'asc' ? '>' : '<'} $2)
        ORDER BY size ${order} LIMIT $3`,
      [origin, after, limit],
    );
    return rows.map((row) => ({
      ...row,
      size: Number(row.size),
      root: row.root.toString('base64'),
      createdAt: row.createdAt.toISOString(),
    }));
  }
}

export function toPlacedLine(row: RecordRow): PlacedLine {
  const line = recordLine({
    v: 1,
    id: row.id,
    source: row.source,
    incarnation: row.incarnation,
    sequence: Number(row.sequence),
    type: row.type,
    subject: row.subject,
    severity: row.severity,
    retention: row.retention,
    actor: row.actor,
    subjectId: row.subjectId,
    time: row.time.toISOString(),
    traceparent: row.traceparent,
    recordedAt: row.recordedAt.toISOString(),
    signature: row.signature,
    data: row.data,
  });
  return { position: Number(row.position), line };
}
