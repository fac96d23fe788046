import type { Hold } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import type { Queryable } from '../database/roles.js';
import { ReaderDatabase } from '../database/reader.js';

type HoldRow = Omit<Hold, 'placedAt' | 'releasedAt'> & {
  readonly placedAt: Date;
  readonly releasedAt: Date | null;
};

const columns = `h.id, h.class, to_char(h.first_month, 'YYYY-MM') AS "from", to_char(h.last_month, 'YYYY-MM') AS "to",
  h.subject_id AS subject, h.reason, h.placed_at AS "placedAt", r.released_at AS "releasedAt",
  r.reason AS "releaseReason"`;
const tables = 'audit.holds h LEFT JOIN audit.hold_releases r ON r.hold = h.id';

const toHold = (row: HoldRow): Hold => ({
  ...row,
  placedAt: row.placedAt.toISOString(),
  releasedAt: row.releasedAt?.toISOString() ?? null,
});
const firstDay = (month: string | null): string | null => (month === null ? null : `${month}-01`);

/** Legal holds: rows are only ever added. Written within the caller's transaction. */
@Injectable()
export class HoldRepository {
  constructor(private readonly reader: ReaderDatabase) {}

  async place(writer: Queryable, hold: Hold): Promise<void> {
    await writer.query(
      `INSERT INTO audit.holds (id, class, first_month, last_month, subject_id, reason, placed_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7)`,
      [hold.id, hold.class, firstDay(hold.from), firstDay(hold.to), hold.subject, hold.reason, hold.placedAt],
    );
  }

  async find(writer: Queryable, id: string): Promise<Hold | null> {
    const rows = await writer.query<HoldRow[]>(`SELECT ${columns} FROM ${tables} WHERE h.id = $1`, [id]);
    return rows.map(toHold)[0] ?? null;
  }

  /** Whether it was not released before. */
  async release(writer: Queryable, id: string, reason: string, now: string): Promise<boolean> {
    const rows = await writer.query<unknown[]>(
      `INSERT INTO audit.hold_releases (hold, reason, released_at) VALUES ($1, $2, $3)
       ON CONFLICT DO NOTHING RETURNING hold`,
      [id, reason, now],
    );
    return rows.length > 0;
  }

  /** Newest first. */
  async list(released: boolean, after: string | null, limit: number): Promise<Hold[]> {
    const rows = await this.reader.query<HoldRow[]>(
      `SELECT ${columns} FROM ${tables}
        WHERE ($1 OR r.hold IS NULL) AND ($2::uuid IS NULL OR h.id < $2) ORDER BY h.id DESC LIMIT $3`,
      [released, after, limit],
    );
    return rows.map(toHold);
  }
}
