import { leafHash, tile_hashes, tileWidth } from '#libs/tlog';
import { Injectable } from '@nestjs/common';
import { ReaderDatabase } from '../database/reader.js';
import { LogReader, recordColumns, toPlacedLine, type RecordRow } from '../log/log.reader.repository.js';
import type { ParentTile, Stretch, StretchRow } from './stretch.js';

type Row = RecordRow & { readonly stored: Buffer };
interface Months {
  readonly from: Date;
  /** Not included. */
  readonly to: Date;
}

/** More rows than a stretch has positions: others than the service have put them there. */
const rows_max = 2 * tile_hashes;

/** Reads the log stretch by stretch, as the reader. */
@Injectable()
export class StretchRepository {
  /** Of the last stretch. The next one mostly is of the same, and planning for all months takes longer than reading it. */
  private months: Months | null = null;

  constructor(
    private readonly database: ReaderDatabase,
    private readonly log: LogReader,
  ) {}

  /**
   * All but what the witness says. Records are looked for before archives: what is archived meanwhile is found in one of
   * them.
   */
  async read(index: number, size: number): Promise<Omit<Stretch, 'witness'>> {
    const from = index * tile_hashes;
    const to = Math.min(size, from + tile_hashes);
    const rows = await this.rows(from, to);
    const there = new Set(rows.map(({ position }) => position));
    const absent = Array.from({ length: to - from }, (_, at) => from + at).filter((at) => !there.has(at));
    const archived = new Set((await this.log.archived(absent)).map(({ position }) => position));
    const [tile, ...parents] = await this.tiles(index, size);
    return { from, to, rows, archived, tile: tile?.hashes ?? null, parents };
  }

  private async rows(from: number, to: number): Promise<StretchRow[]> {
    const near = this.months === null ? [] : await this.rowsOf(from, to, this.months);
    const rows = near.length === to - from ? near : await this.rowsOf(from, to, null);
    const times = rows.map(({ time }) => time.getTime());
    this.months =
      times.length === 0 ? null : { from: month(Math.min(...times), 0), to: month(Math.max(...times), 1) };
    return rows.map((row) => {
      const { position, line } = toPlacedLine(row);
      return { position, leaf: leafHash(line), stored: row.stored };
    });
  }

  private async rowsOf(from: number, to: number, months: Months | null): Promise<Row[]> {
    return await this.database.query<Row[]>(
      `SELECT ${recordColumns}, leaf_hash AS stored FROM audit.events
        WHERE position >= $1 AND position < $2${months === null ? '' : ' AND time >= $3 AND time < $4'}
        ORDER BY position, id LIMIT ${rows_max}`,
      [from, to, ...(months === null ? [] : [months.from, months.to])],
    );
  }

  /** The stretch's own tile, then those above it that are finished; from the second on only those that it finished. */
  private async tiles(index: number, size: number): Promise<ParentTile[]> {
    const wanted: { level: number; index: number }[] = [];
    let at = index;
    for (let level = 0; tileWidth(size, level, at) === tile_hashes; level += 1) {
      wanted.push({ level, index: at });
      if (level > 0 && (index + 1) % tile_hashes ** level !== 0) break;
      at = Math.floor(at / tile_hashes);
    }
    const found = await this.database.query<{ level: number; index: string; hashes: Buffer }[]>(
      `SELECT level, index, hashes FROM audit.tiles
         JOIN unnest($1::smallint[], $2::bigint[]) AS wanted (level, index) USING (level, index)`,
      [wanted.map((tile) => tile.level), wanted.map((tile) => tile.index)],
    );
    const hashes = new Map(found.map((tile) => [`${tile.level}/${tile.index}`, tile.hashes]));
    return wanted.map((tile) => ({ ...tile, hashes: hashes.get(`${tile.level}/${tile.index}`) ?? null }));
  }
}

/** Where the month of an instant begins, or one some months later; in UTC, as the partitions. */
function month(ms: number, later: number): Date {
  const instant = new Date(ms);
  return new Date(Date.UTC(instant.getUTCFullYear(), instant.getUTCMonth() + later));
}
