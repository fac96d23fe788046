import { Frontier } from './frontier.js';
import { emptyRoot, hash_bytes, nodeHash, requireSize } from './hash.js';
import { subtreeRoot, tile_hashes, tile_height, type ReadTile } from './tile.js';

/** The records `[from, to)`. */
interface Range {
  readonly from: number;
  readonly to: number;
}

/**
 * Proof that the record at `position` is in the log of `size` records (RFC 6962, section 2.1.1): at most 53 hashes, the
 * nearest first. Throws `RangeError` when there is no such record.
 */
export async function inclusionProof(position: number, size: number, read: ReadTile): Promise<Buffer[]> {
  requireSize(position);
  requireSize(size);
  if (position >= size) throw new RangeError('The log has no such position at this size.');
  const beside: Range[] = [];
  let range: Range = { from: 0, to: size };
  while (range.to - range.from > 1) {
    const [left, right] = halves(range);
    beside.unshift(position < right.from ? right : left);
    range = position < right.from ? left : right;
  }
  return await Promise.all(beside.map(async (it) => await rangeRoot(it, read)));
}

/**
 * Proof that the log of `to` records begins with the log of `from` records (RFC 6962, section 2.1.2). Empty when one of
 * them is empty or they are the same. Throws `RangeError` for `from > to`.
 */
export async function consistencyProof(from: number, to: number, read: ReadTile): Promise<Buffer[]> {
  requireSize(from);
  requireSize(to);
  if (from > to) throw new RangeError('A log does not get smaller.');
  if (from === 0 || from === to) return [];
  const ranges: Range[] = [];
  let range: Range = { from: 0, to };
  while (from < range.to) {
    const [left, right] = halves(range);
    ranges.unshift(from <= right.from ? right : left);
    range = from <= right.from ? left : right;
  }
  // What begins at 0 is the old log itself, whose root the reader knows.
  if (range.from > 0) ranges.unshift(range);
  return await Promise.all(ranges.map(async (it) => await rangeRoot(it, read)));
}

/** The frontier of the log as it was at a size that is not larger than now. */
export async function frontierAt(size: number, read: ReadTile): Promise<Frontier> {
  requireSize(size);
  const hashes: Buffer[] = [];
  for (let from = 0; from < size;) {
    let count = 1;
    while (count * 2 <= size - from) count *= 2;
    hashes.push(await completeRoot(from, Math.log2(count), read));
    from += count;
  }
  return Frontier.from(size, Buffer.concat(hashes));
}

/** Root of the log as it was at a size that is not larger than now. */
export async function rootAt(size: number, read: ReadTile): Promise<Buffer> {
  requireSize(size);
  return size === 0 ? emptyRoot : await rangeRoot({ from: 0, to: size }, read);
}

/** The left one is the largest power of two that is smaller than the whole. */
function halves({ from, to }: Range): [Range, Range] {
  let left = 1;
  while (left * 2 < to - from) left *= 2;
  return [
    { from, to: from + left },
    { from: from + left, to },
  ];
}

async function rangeRoot(range: Range, read: ReadTile): Promise<Buffer> {
  const height = Math.log2(range.to - range.from);
  if (Number.isInteger(height)) return await completeRoot(range.from, height, read);
  const [left, right] = halves(range);
  return nodeHash(await rangeRoot(left, read), await rangeRoot(right, read));
}

/** Root of a complete subtree, from the one tile that holds its lower edge. */
export async function completeRoot(from: number, height: number, read: ReadTile): Promise<Buffer> {
  const level = Math.floor(height / tile_height);
  const count = 2 ** (height % tile_height);
  const first = from / tile_hashes ** level;
  const offset = first % tile_hashes;
  const tile = await read(level, Math.floor(first / tile_hashes));
  const hashes = tile.subarray(offset * hash_bytes, (offset + count) * hash_bytes);
  if (hashes.length !== count * hash_bytes) throw new RangeError('The tile ends before the log does.');
  return subtreeRoot(hashes);
}
