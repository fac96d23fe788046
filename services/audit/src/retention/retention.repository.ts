import type { Archive, EventData, RetentionClass, RetentionRun, RetentionStep } from '#libs/contracts';
import type { Transaction } from '#libs/persistence';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { ReaderDatabase } from '../database/reader.js';

type RunRow = Omit<RetentionRun, 'startedAt' | 'endedAt'> & {
  readonly startedAt: Date;
  readonly endedAt: Date | null;
};
type ArchiveRow = Omit<
  Archive,
  'records' | 'first' | 'last' | 'bytes' | 'checkpointSize' | 'archivedAt' | 'droppedAt'
> & {
  readonly records: string;
  readonly first: string;
  readonly last: string;
  readonly bytes: string;
  readonly checkpointSize: string;
  readonly archivedAt: Date;
  readonly droppedAt: Date | null;
};

/** What was dropped and is not told yet. */
export interface Untold {
  readonly type: 'tradefleet.audit.partition-dropped';
  readonly id: string;
  readonly data: EventData<'tradefleet.audit.partition-dropped'>;
}

/** Told in one transaction, at most; the rest is told by the next one. */
const told_max = 500;

const archiveColumns = `a.id, a.class, to_char(a.month, 'YYYY-MM') AS month, a.records, a.first_position AS first,
  a.last_position AS last, a.file, a.bytes, encode(a.sha256, 'hex') AS sha256, a.checkpoint_size AS "checkpointSize",
  a.archived_at AS "archivedAt", d.dropped_at AS "droppedAt"`;

/** Runs of retention, as the writer, and what they made, as the reader. */
@Injectable()
export class RetentionRepository {
  constructor(
    private readonly dataSource: DataSource,
    private readonly reader: ReaderDatabase,
  ) {}

  /** Also ends what was left running: whoever begins holds the lock of all runs. */
  async begin(id: string, now: string): Promise<void> {
    await this.dataSource.query(
      `UPDATE audit_work.retention_runs SET state = 'failed', ended_at = $1, detail = 'the service ended meanwhile'
        WHERE state = 'running'`,
      [now],
    );
    await this.dataSource.query(
      `INSERT INTO audit_work.retention_runs (id, state, started_at, steps) VALUES ($1, 'running', $2, '[]')`,
      [id, now],
    );
  }

  async step(id: string, step: RetentionStep): Promise<void> {
    await this.dataSource.query(
      'UPDATE audit_work.retention_runs SET steps = steps || $2::jsonb WHERE id = $1',
      [id, JSON.stringify([step])],
    );
  }

  async end(id: string, state: 'succeeded' | 'failed', detail: string | null, now: string): Promise<void> {
    await this.dataSource.query(
      `UPDATE audit_work.retention_runs SET state = $2, detail = $3, ended_at = $4 WHERE id = $1 AND state = 'running'`,
      [id, state, detail, now],
    );
  }

  async run(id: string): Promise<RetentionRun | null> {
    const [row] = await this.dataSource.query<RunRow[]>(
      `SELECT id, state, started_at AS "startedAt", ended_at AS "endedAt", steps, detail
         FROM audit_work.retention_runs WHERE id = $1`,
      [id],
    );
    if (row === undefined) return null;
    return { ...row, startedAt: row.startedAt.toISOString(), endedAt: row.endedAt?.toISOString() ?? null };
  }

  async months(): Promise<Record<RetentionClass, number>> {
    const rows = await this.reader.query<{ class: RetentionClass; months: number }[]>(
      'SELECT class, months FROM audit.retention_months',
    );
    return Object.fromEntries(rows.map((row) => [row.class, row.months])) as Record<RetentionClass, number>;
  }

  async archive(id: string): Promise<Archive | null> {
    const rows = await this.reader.query<ArchiveRow[]>(
      `SELECT ${archiveColumns} FROM audit.archives a LEFT JOIN audit.drops d ON d.archive = a.id WHERE a.id = $1`,
      [id],
    );
    return rows.map(toArchive)[0] ?? null;
  }

  /** Newest first. */
  async archives(of: RetentionClass | null, after: string | null, limit: number): Promise<Archive[]> {
    const rows = await this.reader.query<ArchiveRow[]>(
      `SELECT ${archiveColumns} FROM audit.archives a LEFT JOIN audit.drops d ON d.archive = a.id
        WHERE ($1::text IS NULL OR a.class = $1) AND ($2::uuid IS NULL OR a.id < $2)
        ORDER BY a.id DESC LIMIT $3`,
      [of, after, limit],
    );
    return rows.map(toArchive);
  }

  /** Marks as told what the caller tells in the same transaction. Of two that ask at once one gets it. */
  async takeUntold(manager: Transaction): Promise<Untold[]> {
    const dropped = await manager.query<
      { id: string; archive: string | null; class: RetentionClass; month: string; records: string }[]
    >(
      `WITH new AS (
         INSERT INTO audit_work.retention_told (id)
         SELECT id FROM audit.drops d WHERE NOT EXISTS (SELECT FROM audit_work.retention_told t WHERE t.id = d.id)
          ORDER BY id LIMIT ${told_max} ON CONFLICT DO NOTHING RETURNING id)
       SELECT d.id, d.archive, d.class, to_char(d.month, 'YYYY-MM') AS month, d.records
         FROM new JOIN audit.drops d USING (id) ORDER BY d.id`,
    );
    return dropped.map(({ id, archive, class: name, month, records }) => ({
      type: 'tradefleet.audit.partition-dropped',
      id,
      data: { archive, class: name, month, records: Number(records) },
    }));
  }
}

const toArchive = (row: ArchiveRow): Archive => ({
  ...row,
  records: Number(row.records),
  first: Number(row.first),
  last: Number(row.last),
  bytes: Number(row.bytes),
  checkpointSize: Number(row.checkpointSize),
  archivedAt: row.archivedAt.toISOString(),
  droppedAt: row.droppedAt?.toISOString() ?? null,
});
