import type { Transaction } from '#libs/persistence';
import type { Tile } from '#libs/tlog';
import { Injectable } from '@nestjs/common';

/** What is needed to make tiles again, as the writer. */
@Injectable()
export class TileRepository {
  async head(tx: Transaction): Promise<{ size: number; hashes: Buffer }> {
    const [head] = await tx.query<{ size: string; frontier: Buffer }[]>(
      'SELECT size, frontier FROM audit_work.head',
    );
    if (head === undefined) throw new Error('The head of the log is missing.');
    return { size: Number(head.size), hashes: head.frontier };
  }

  /** Which of the first `count` tiles of a level are not there. Where none is missing that is found by counting. */
  async missing(tx: Transaction, level: number, count: number): Promise<number[]> {
    const [there] = await tx.query<{ count: string }[]>(
      'SELECT count(*) AS count FROM audit.tiles WHERE level = $1 AND index < $2',
      [level, count],
    );
    if (Number(there?.count ?? 0) === count) return [];
    const rows = await tx.query<{ index: string }[]>(
      `SELECT wanted.index FROM generate_series(0, $2::bigint - 1) AS wanted (index)
        WHERE NOT EXISTS (SELECT FROM audit.tiles AS tile WHERE tile.level = $1 AND tile.index = wanted.index)
        ORDER BY 1`,
      [level, count],
    );
    return rows.map(({ index }) => Number(index));
  }

  async add(tx: Transaction, tiles: readonly Tile[]): Promise<void> {
    if (tiles.length === 0) return;
    await tx.query(
      `INSERT INTO audit.tiles (level, index, hashes)
       SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[]) ON CONFLICT DO NOTHING`,
      [tiles.map((tile) => tile.level), tiles.map((tile) => tile.index), tiles.map((tile) => tile.hashes)],
    );
  }

  async lastNote(tx: Transaction, origin: string): Promise<string | null> {
    const [row] = await tx.query<{ note: string }[]>(
      'SELECT note FROM audit.checkpoints WHERE origin = $1 ORDER BY size DESC LIMIT 1',
      [origin],
    );
    return row?.note ?? null;
  }
}
