import type { LogDamage } from '#libs/contracts';
import { hash_bytes, hashAt, subtreeRoot, tile_bytes, tile_hashes } from '#libs/tlog';

/** A row where it stands. */
export interface StretchRow {
  readonly position: number;
  /** The leaf of what the row says. */
  readonly leaf: Buffer;
  /** The leaf that is stored with it. */
  readonly stored: Buffer;
}

/** A tile above, which holds the root of the one below at a place. */
export interface ParentTile {
  readonly level: number;
  readonly index: number;
  /** Null: it should be there and is not. */
  readonly hashes: Buffer | null;
}

/** The records of one tile and all that is known of their hashes. */
export interface Stretch {
  /** A multiple of 256. */
  readonly from: number;
  /** Positions up to here, without it, are in the log: at most 256 more. */
  readonly to: number;
  /** In the order of their positions. */
  readonly rows: readonly StretchRow[];
  /** Positions that only an archive has. */
  readonly archived: ReadonlySet<number>;
  /** The finished tile; null: it should be there and is not. Of no meaning while the stretch is not full. */
  readonly tile: Buffer | null;
  /** Of finished levels, the lowest first: those of which this stretch is the last child, and the first level's in any case. */
  readonly parents: readonly ParentTile[];
  /** What the witness has, from the first position on; perhaps fewer, or none. */
  readonly witness: Buffer;
}

const hashesAt = (hashes: Buffer, at: number): Buffer | null =>
  hashes.length >= (at + 1) * hash_bytes ? hashAt(hashes, at) : null;

/**
 * What is wrong with a stretch, of each kind the first position. What the hashes should be is said by the witness, which the
 * database's owner has no hand in; where it has none, by the tile when the one above vouches for it, then by the records when
 * that vouches for them.
 */
export function damageOf(stretch: Stretch): LogDamage[] {
  const truth = truthOf(stretch);
  return [...damagedRows(stretch, truth), ...damagedTiles(stretch, truth)];
}

type Truth = (position: number) => Buffer | null;

function truthOf(stretch: Stretch): Truth {
  const { from, rows, witness } = stretch;
  const stored = new Map(rows.map((row) => [row.position, row.stored]));
  const believed = (isFull(stretch) ? believedTile(stretch) : null) ?? Buffer.alloc(0);
  return (position) =>
    hashesAt(witness, position - from) ?? hashesAt(believed, position - from) ?? stored.get(position) ?? null;
}

const isFull = ({ from, to }: Stretch): boolean => to - from === tile_hashes;

/** The hashes of a full stretch of which the tile above knows the root; the tile itself where nothing is above it yet. */
function believedTile(stretch: Stretch): Buffer | null {
  const { tile, parents, from } = stretch;
  const [parent] = parents;
  if (parent?.hashes == null) return tile;
  const root = hashAt(parent.hashes, (from / tile_hashes) % tile_hashes);
  if (tile !== null && subtreeRoot(tile).equals(root)) return tile;
  const leaves = Buffer.concat(stretch.rows.map((row) => row.leaf));
  return leaves.length === tile_bytes && subtreeRoot(leaves).equals(root) ? leaves : tile;
}

function damagedRows({ from, to, rows, archived }: Stretch, truth: Truth): LogDamage[] {
  const at = new Map<number, StretchRow[]>();
  for (const row of rows) at.set(row.position, [...(at.get(row.position) ?? []), row]);
  const found: Record<'row-missing' | 'row-changed' | 'row-inserted', number[]> = {
    'row-missing': [],
    'row-changed': [],
    'row-inserted': [],
  };
  for (let position = from; position < to; position += 1) {
    const here = at.get(position) ?? [];
    const [row] = here;
    if (here.length > 1) found['row-inserted'].push(position);
    else if (row === undefined) {
      if (!archived.has(position)) found['row-missing'].push(position);
    } else if (truth(position)?.equals(row.leaf) !== true || !row.stored.equals(row.leaf))
      found['row-changed'].push(position);
  }
  const details = {
    'row-missing': 'Its record is gone.',
    'row-changed': 'Its record is not the one that was committed.',
    'row-inserted': 'More than one record stands there.',
  };
  return (Object.keys(found) as (keyof typeof found)[]).flatMap((what) =>
    toDamage(what, found[what], details[what]),
  );
}

function damagedTiles(stretch: Stretch, truth: Truth): LogDamage[] {
  if (!isFull(stretch)) return [];
  const { from, to, tile, parents } = stretch;
  const damage: LogDamage[] = [];
  if (tile === null) damage.push(tileDamage('tile-missing', 0, from));
  const positions = Array.from({ length: to - from }, (_, at) => from + at);
  const hashes = positions.map(truth);
  const believed = hashes.every((hash) => hash !== null) ? Buffer.concat(hashes) : tile;
  if (tile !== null && believed !== null && !believed.equals(tile))
    damage.push(tileDamage('tile-changed', 0, from));
  let child = believed;
  for (const { level, index, hashes: parent } of parents) {
    const first = index * tile_hashes ** (level + 1);
    if (parent === null) damage.push(tileDamage('tile-missing', level, first));
    // One above a lost one is looked at when that is there again.
    if (parent === null || child === null) break;
    const place = Math.floor(from / tile_hashes ** level) % tile_hashes;
    if (!hashAt(parent, place).equals(subtreeRoot(child)))
      damage.push(tileDamage('tile-changed', level, first));
    child = parent;
  }
  // The first is told of each kind.
  return damage.filter(({ what }, at) => damage.findIndex((other) => other.what === what) === at);
}

const tileDamage = (what: 'tile-missing' | 'tile-changed', level: number, position: number): LogDamage => ({
  ...{ what, position, records: tile_hashes ** (level + 1) },
  detail: `Tile ${level}/${position / tile_hashes ** (level + 1)} of the tree ${what === 'tile-missing' ? 'is gone' : 'is not that of its records'}.`,
});

function toDamage(what: LogDamage['what'], positions: readonly number[], detail: string): LogDamage[] {
  const [first] = positions;
  return first === undefined ? [] : [{ what, position: first, records: positions.length, detail }];
}
