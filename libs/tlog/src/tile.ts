import { hash_bytes, hashAt, hashNode } from './hash.js';

/** Levels of the tree that one tile spans, as C2SP tlog-tiles has it. */
export const tile_height = 8;
/** Hashes of a finished tile. */
export const tile_hashes = 256;
export const tile_bytes = tile_hashes * hash_bytes;

/**
 * A finished tile. On level 0 its hashes are those of the records `256 * index` and on; on level L each hash is the root of
 * the finished tile of level L-1 with that number, so a subtree of `256 ** L` records.
 */
export interface Tile {
  readonly level: number;
  readonly index: number;
  /** 8192 bytes. */
  readonly hashes: Buffer;
}

/** Gives a tile of the log: the whole, or of an unfinished one the hashes that are there, from its first. */
export type ReadTile = (level: number, index: number) => Promise<Buffer>;

/** Where the hashes of a log are kept. */
export interface StoredHashes {
  /** Hashes of the records `[from, to)`, one after the other; at most 255 are asked for, of the unfinished tile only. */
  leaves(from: number, to: number): Promise<Buffer>;
  /** The finished tiles `[from, to)` of a level, one after the other; at most 256 are asked for. */
  tiles(level: number, from: number, to: number): Promise<Buffer>;
}

/** How many hashes a level has at a size of the log. */
export const levelWidth = (size: number, level: number): number => Math.floor(size / tile_hashes ** level);

/** How many hashes a tile has at a size of the log: 0 to 256. */
export const tileWidth = (size: number, level: number, index: number): number =>
  Math.max(0, Math.min(tile_hashes, levelWidth(size, level) - index * tile_hashes));

/** Root of a subtree from the hashes of its leaves or of its subtrees; their number is a power of two. */
export function subtreeRoot(hashes: Buffer): Buffer {
  let count = hashes.length / hash_bytes;
  if (count < 1 || !Number.isInteger(Math.log2(count))) throw new RangeError('A subtree is a power of two.');
  const row = Buffer.from(hashes);
  for (; count > 1; count /= 2)
    for (let at = 0; at < count; at += 2) hashNode(row, at * hash_bytes, (at / 2) * hash_bytes);
  return Buffer.from(hashAt(row, 0));
}

/**
 * Reads a log of `size` records from where only finished tiles are kept: what an unfinished one has is made from the records'
 * hashes, or from the finished tiles of the level below. What was read is remembered: make a reader for a question.
 */
export function tileReader(size: number, stored: StoredHashes): ReadTile {
  const known = new Map<string, Promise<Buffer>>();
  const read = async (level: number, index: number): Promise<Buffer> => {
    const first = index * tile_hashes;
    const width = tileWidth(size, level, index);
    if (width === tile_hashes) return await exactly(tile_hashes, stored.tiles(level, index, index + 1));
    if (width === 0) return Buffer.alloc(0);
    if (level === 0) return await exactly(width, stored.leaves(first, first + width));
    const below = await exactly(width * tile_hashes, stored.tiles(level - 1, first, first + width));
    return Buffer.concat(
      Array.from({ length: width }, (_, at) =>
        subtreeRoot(below.subarray(at * tile_bytes, (at + 1) * tile_bytes)),
      ),
    );
  };
  return async (level, index) => {
    const name = `${level}/${index}`;
    const found = known.get(name) ?? read(level, index);
    known.set(name, found);
    return await found;
  };
}

async function exactly(hashes: number, read: Promise<Buffer>): Promise<Buffer> {
  const found = await read;
  if (found.length !== hashes * hash_bytes) throw new MissingHashes(hashes, found.length / hash_bytes);
  return found;
}

/** The store has not the hashes that a log of this size has. */
export class MissingHashes extends Error {
  override readonly name = 'MissingHashes';

  constructor(wanted: number, found: number) {
    super(`The log should have ${wanted} hashes here, ${found} are kept.`);
  }
}
