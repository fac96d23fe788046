import { hash_bytes, requireHash, requireSize } from './hash.js';
import {
  levelWidth,
  subtreeRoot,
  tile_bytes,
  tile_hashes,
  tileWidth,
  type ReadTile,
  type Tile,
} from './tile.js';

/** One level's unfinished tile. */
interface Unfinished {
  hashes: Buffer;
  count: number;
}

/**
 * Turns appended records into finished tiles of all levels. It holds the unfinished tiles only, at most one a level:
 * 8 KiB for each factor of 256 of the size.
 */
export class TileBuilder {
  private constructor(
    private count: number,
    private readonly levels: Unfinished[],
  ) {}

  static empty(): TileBuilder {
    return new TileBuilder(0, []);
  }

  /**
   * From the unfinished tiles' hashes, level 0 first, as `unfinished()` gives them. Throws `RangeError` when they do not fit
   * the size.
   */
  static from(size: number, unfinished: readonly Buffer[]): TileBuilder {
    requireSize(size);
    const levels = levelsOf(size);
    if (unfinished.length !== levels) throw new RangeError(`A log of this size has ${levels} levels.`);
    return new TileBuilder(
      size,
      unfinished.map((hashes, level) => {
        const count = levelWidth(size, level) % tile_hashes;
        if (hashes.length !== count * hash_bytes)
          throw new RangeError(`Level ${level} has ${count} hashes in its unfinished tile.`);
        const tile = Buffer.alloc(tile_bytes);
        hashes.copy(tile);
        return { hashes: tile, count };
      }),
    );
  }

  /** From what is stored of a log of this size; `tileReader` reads it. */
  static async restore(size: number, read: ReadTile): Promise<TileBuilder> {
    requireSize(size);
    const unfinished: Buffer[] = [];
    for (let level = 0; level < levelsOf(size); level += 1) {
      const index = Math.floor(levelWidth(size, level) / tile_hashes);
      const width = tileWidth(size, level, index);
      unfinished.push(
        width === 0 ? Buffer.alloc(0) : (await read(level, index)).subarray(0, width * hash_bytes),
      );
    }
    return TileBuilder.from(size, unfinished);
  }

  get size(): number {
    return this.count;
  }

  /** Takes the hash of the next record; gives the tiles that are finished by it, the lowest level first. */
  append(leaf: Buffer): Tile[] {
    requireHash(leaf);
    const finished: Tile[] = [];
    this.count += 1;
    let hash = leaf;
    for (let level = 0; ; level += 1) {
      const tile = this.add(level, hash);
      if (tile === null) return finished;
      finished.push({ level, index: levelWidth(this.count, level) / tile_hashes - 1, hashes: tile });
      hash = subtreeRoot(tile);
    }
  }

  /** The hashes of the unfinished tiles, level 0 first. */
  unfinished(): Buffer[] {
    return this.levels.map(({ hashes, count }) => Buffer.from(hashes.subarray(0, count * hash_bytes)));
  }

  clone(): TileBuilder {
    return TileBuilder.from(this.count, this.unfinished());
  }

  /** The tile when this hash finishes it. */
  private add(level: number, hash: Buffer): Buffer | null {
    const tile = (this.levels[level] ??= { hashes: Buffer.alloc(tile_bytes), count: 0 });
    hash.copy(tile.hashes, tile.count * hash_bytes);
    tile.count += 1;
    if (tile.count < tile_hashes) return null;
    const { hashes } = tile;
    this.levels[level] = { hashes: Buffer.alloc(tile_bytes), count: 0 };
    return hashes;
  }
}

/** Levels that have a hash at this size. */
function levelsOf(size: number): number {
  let levels = 0;
  while (levelWidth(size, levels) > 0) levels += 1;
  return levels;
}
