import { recordLine, type LogRecord } from '#libs/contracts';
import { Frontier, leafHash, TileBuilder, type Tile } from '#libs/tlog';

type Query = <T extends object>(sql: string) => Promise<T[]>;

type Row = Omit<LogRecord, 'v' | 'sequence' | 'time' | 'recordedAt'> & {
  readonly position: string;
  readonly sequence: string;
  readonly time: Date;
  readonly recordedAt: Date;
  readonly leafHash: Buffer;
};

export interface CheckedLog {
  readonly size: number;
  /** In the order of the log. */
  readonly ids: readonly string[];
  readonly root: Buffer;
}

/**
 * Computes everything about a log again from its records: positions without gaps, ids that are there once, leaves, tiles
 * and head. Throws an `Error` that names the first fault.
 */
export async function checkLog(query: Query): Promise<CheckedLog> {
  const rows = await query<Row>(
    `SELECT position, id, source, incarnation, sequence, type, entity || '/' || entity_id AS subject, severity, retention,
            actor, subject_id AS "subjectId", time, traceparent, recorded_at AS "recordedAt", signature, data::text AS data,
            leaf_hash AS "leafHash"
       FROM audit.events ORDER BY position`,
  );
  const frontier = Frontier.empty();
  const builder = TileBuilder.empty();
  const tiles: Tile[] = [];
  rows.forEach((row, index) => {
    if (row.position !== String(index)) throw new Error(`at ${index} stands position ${row.position}`);
    const leaf = leafHash(recordLine(toRecord(row)));
    if (!leaf.equals(row.leafHash)) throw new Error(`the leaf at ${index} is not that of its record`);
    frontier.append(leaf);
    tiles.push(...builder.append(leaf));
  });
  const ids = rows.map((row) => row.id);
  if (new Set(ids).size !== ids.length) throw new Error('an id is there twice');
  await requireHead(query, frontier);
  await requireTiles(query, tiles);
  return { size: frontier.size, ids, root: frontier.root() };
}

const toRecord = (row: Row): LogRecord => ({
  ...{ v: 1, id: row.id, source: row.source, incarnation: row.incarnation, sequence: Number(row.sequence) },
  ...{
    type: row.type,
    subject: row.subject,
    severity: row.severity,
    retention: row.retention,
    actor: row.actor,
  },
  ...{ subjectId: row.subjectId, time: row.time.toISOString(), traceparent: row.traceparent },
  ...{ recordedAt: row.recordedAt.toISOString(), signature: row.signature, data: row.data },
});

async function requireHead(query: Query, frontier: Frontier): Promise<void> {
  const [head] = await query<{ size: string; frontier: Buffer }>(
    'SELECT size, frontier FROM audit_work.head',
  );
  if (head?.size !== String(frontier.size) || !head.frontier.equals(frontier.hashes()))
    throw new Error(`the head says ${head?.size ?? 'nothing'}, there are ${frontier.size} records`);
}

async function requireTiles(query: Query, expected: readonly Tile[]): Promise<void> {
  const rows = await query<{ level: number; index: string; hashes: Buffer }>('SELECT * FROM audit.tiles');
  const kept = new Map(rows.map((row) => [`${row.level}/${row.index}`, row.hashes]));
  for (const { level, index, hashes } of expected)
    if (kept.get(`${level}/${index}`)?.equals(hashes) !== true)
      throw new Error(`the tile ${level}/${index} is not that of the records`);
  if (kept.size !== expected.length) throw new Error(`there are ${kept.size} tiles, not ${expected.length}`);
}
