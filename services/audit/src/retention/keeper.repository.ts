import { Injectable } from '@nestjs/common';
import type { RetentionClass } from '#libs/contracts';
import { ReaderDatabase } from '../database/reader.js';
import type { Queryable } from '../database/roles.js';
import { toPlacedLine, type PlacedLine, type RecordRow } from '../log/log.reader.repository.js';

/** A partition as the database plans it. */
export interface PlannedPartition {
  readonly class: RetentionClass;
  /** As `2026-01`. */
  readonly month: string;
  readonly records: number;
  readonly bytes: number;
  readonly dueAt: Date;
  readonly isDue: boolean;
  readonly holds: readonly string[];
  /** Whether a checkpoint and the finished tiles of the log cover its last record; null where it was not looked at. */
  readonly isClosed: boolean | null;
  /** An archive of exactly these records. */
  readonly archive: string | null;
  readonly lastPosition: number | null;
}

/** What an archive holds: what the database compares with the partition. */
export interface ArchivedPartition {
  readonly id: string;
  readonly class: RetentionClass;
  readonly month: string;
  readonly records: number;
  readonly first: number;
  readonly last: number;
  readonly positionSum: bigint;
  readonly file: string;
  readonly bytes: number;
  readonly sha256: Buffer;
  readonly checkpointSize: number;
}

type PlanRow = Omit<PlannedPartition, 'records' | 'bytes' | 'lastPosition'> & {
  readonly records: string;
  readonly bytes: string;
  readonly lastPosition: string | null;
};

const firstDay = (month: string): string => `${month}-01`;

/** Calls the functions that decide what may be read, archived and dropped. Every method but `plan` needs the keeper. */
@Injectable()
export class KeeperRepository {
  constructor(private readonly reader: ReaderDatabase) {}

  /** All partitions, the oldest month first; by the keeper with exact numbers of what is due. */
  async plan(keeper: Queryable | null = null): Promise<PlannedPartition[]> {
    const rows = await (keeper ?? this.reader).query<PlanRow[]>(
      `SELECT class, to_char(month, 'YYYY-MM') AS month, records, bytes, due_at AS "dueAt", is_due AS "isDue", holds,
              is_closed AS "isClosed", archive, last_position AS "lastPosition"
         FROM audit.retention_plan($1) ORDER BY month, class`,
      [keeper !== null],
    );
    return rows.map((row) => ({
      ...row,
      records: Number(row.records),
      bytes: Number(row.bytes),
      lastPosition: row.lastPosition === null ? null : Number(row.lastPosition),
    }));
  }

  /** Up to `limit` records of a partition that is due, behind a position, in the order of the log. */
  async read(
    keeper: Queryable,
    { class: name, month }: Pick<PlannedPartition, 'class' | 'month'>,
    after: number,
    limit: number,
  ): Promise<PlacedLine[]> {
    const rows = await keeper.query<RecordRow[]>(
      `SELECT "position", id, source, incarnation, sequence, type, subject, severity, retention, actor,
              subject_id AS "subjectId", "time", traceparent, recorded_at AS "recordedAt", signature, data
         FROM audit.read_due($1, $2::date, $3, $4)`,
      [name, firstDay(month), after, limit],
    );
    return rows.map(toPlacedLine);
  }

  async recordArchive(keeper: Queryable, archive: ArchivedPartition): Promise<void> {
    await keeper.query('SELECT audit.record_archive($1, $2, $3::date, $4, $5, $6, $7, $8, $9, $10, $11)', [
      ...[archive.id, archive.class, firstDay(archive.month), archive.records, archive.first, archive.last],
      ...[
        archive.positionSum.toString(),
        archive.file,
        archive.bytes,
        archive.sha256,
        archive.checkpointSize,
      ],
    ]);
  }

  /** @param archive null of an empty partition */
  async drop(
    keeper: Queryable,
    id: string,
    { class: name, month }: Pick<PlannedPartition, 'class' | 'month'>,
    archive: string | null,
  ): Promise<void> {
    await keeper.query('SELECT audit.drop_partition($1, $2, $3::date, $4)', [
      id,
      name,
      firstDay(month),
      archive,
    ]);
  }
}
