import { Frontier, leafHash, TileBuilder } from '#libs/tlog';
import type { ReaderDatabase } from '../database/reader.js';
import { LogReader } from '../log/log.reader.repository.js';

type Query = <T extends object>(sql: string, values?: unknown[]) => Promise<T[]>;

/**
 * Makes a changed log look whole, as its owner can: positions without gaps, leaves, tiles and head as they would be had these
 * been the records from the first. What he cannot make he takes away: the checkpoints of what was changed.
 */
export async function coverUp(query: Query, firstChanged: number): Promise<void> {
  await query(
    `UPDATE audit.events SET position = placed.place FROM (
       SELECT id AS of, row_number() OVER (ORDER BY position, time, id) - 1 AS place FROM audit.events) AS placed
      WHERE id = placed.of`,
  );
  const reader = new LogReader({ query } as unknown as ReaderDatabase);
  const { lines } = await reader.lines(0, 100_000);
  const leaves = lines.map(({ line }) => leafHash(line));
  const frontier = Frontier.empty();
  const builder = TileBuilder.empty();
  await query('DELETE FROM audit.tiles');
  for (const leaf of leaves) {
    frontier.append(leaf);
    for (const { level, index, hashes } of builder.append(leaf))
      await query('INSERT INTO audit.tiles (level, index, hashes) VALUES ($1, $2, $3)', [
        level,
        index,
        hashes,
      ]);
  }
  await query(
    `UPDATE audit.events SET leaf_hash = made.leaf
       FROM unnest($1::bigint[], $2::bytea[]) AS made (place, leaf) WHERE position = made.place`,
    [lines.map(({ position }) => position), leaves],
  );
  await query('UPDATE audit_work.head SET size = $1, frontier = $2', [frontier.size, frontier.hashes()]);
  await query('DELETE FROM audit.checkpoints WHERE size > $1', [firstChanged]);
}
