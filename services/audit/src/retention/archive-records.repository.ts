import type { Transaction } from '#libs/persistence';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { ReaderDatabase } from '../database/reader.js';
import { LogReader, type PlacedLine } from '../log/log.reader.repository.js';

/** Records by which the log tells what an archive has: as they are recorded, and as they are kept for good. */
@Injectable()
export class ArchiveRecordsRepository {
  constructor(
    private readonly dataSource: DataSource,
    private readonly reader: ReaderDatabase,
    private readonly log: LogReader,
  ) {}

  /** Whether nobody has told of it before: whoever tells does so in the same transaction. */
  async claim(tx: Transaction, archive: string): Promise<boolean> {
    const rows = await tx.query<unknown[]>(
      'INSERT INTO audit_work.retention_told (id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING id',
      [archive],
    );
    return rows.length > 0;
  }

  /** Those that are recorded, by position. */
  async recorded(archive: string): Promise<PlacedLine[]> {
    const rows = await this.reader.query<{ position: string }[]>(
      `SELECT position FROM audit.events
        WHERE entity = 'audit' AND entity_id = $1 AND type = 'tradefleet.audit.partition-archived' AND source = '/audit'
        ORDER BY position`,
      [archive],
    );
    const found: PlacedLine[] = [];
    for (const { position } of rows) {
      const line = await this.log.line(Number(position));
      if (line !== null) found.push({ position: Number(position), line });
    }
    return found;
  }

  /** Keeps them where no month is dropped. Safe to repeat. */
  async keep(archive: string, records: readonly PlacedLine[]): Promise<void> {
    await this.dataSource.query(
      `INSERT INTO audit.archive_records (archive, position, line)
       SELECT $1, position, line FROM unnest($2::bigint[], $3::text[]) AS new (position, line)
       ON CONFLICT (archive, position) DO NOTHING`,
      [archive, records.map(({ position }) => position), records.map(({ line }) => line)],
    );
  }

  /** Those that are kept, by position, behind one. */
  async kept(archive: string, after: number, limit: number): Promise<PlacedLine[]> {
    const rows = await this.reader.query<{ position: string; line: string }[]>(
      `SELECT position, line FROM audit.archive_records WHERE archive = $1 AND position > $2
        ORDER BY position LIMIT $3`,
      [archive, after, limit],
    );
    return rows.map(({ position, line }) => ({ position: Number(position), line }));
  }
}
