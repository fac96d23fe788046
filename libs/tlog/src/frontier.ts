import { emptyRoot, hash_bytes, nodeHash, requireHash, requireSize, splitHashes } from './hash.js';

/**
 * What is needed of a log of `size` records to go on: the roots of its complete subtrees, the largest first, one for
 * each bit of the size. At most 53 hashes, whatever the size; called a compact range elsewhere.
 *
 * ```
 *   size 7 = 4 + 2 + 1      [0,4) [4,6) [6,7)
 * ```
 */
export class Frontier {
  private constructor(
    private count: number,
    private readonly roots: Buffer[],
  ) {}

  static empty(): Frontier {
    return new Frontier(0, []);
  }

  /** From what `hashes()` gave at that size. Throws `RangeError` when their number does not fit the size. */
  static from(size: number, hashes: Buffer): Frontier {
    requireSize(size);
    const copies = splitHashes(Buffer.from(hashes));
    if (copies.length !== bits(size)) throw new RangeError('Not the hashes of a frontier of this size.');
    return new Frontier(size, copies);
  }

  get size(): number {
    return this.count;
  }

  /** Takes the hash of the next record. */
  append(leaf: Buffer): void {
    requireHash(leaf);
    let root = leaf;
    for (let below = this.count; below % 2 === 1; below = (below - 1) / 2)
      root = nodeHash(this.roots.pop() ?? emptyRoot, root);
    this.roots.push(root);
    this.count += 1;
  }

  /** The roots one after the other, the largest subtree's first: `32 * (bits set in size)` bytes. */
  hashes(): Buffer {
    return Buffer.concat(this.roots, this.roots.length * hash_bytes);
  }

  /** Root of the log up to here. */
  root(): Buffer {
    let root = this.roots.at(-1) ?? emptyRoot;
    for (const left of this.roots.slice(0, -1).reverse()) root = nodeHash(left, root);
    return Buffer.from(root);
  }

  clone(): Frontier {
    return new Frontier(this.count, [...this.roots]);
  }
}

/** How many bits of a size are set. */
export function bits(size: number): number {
  let count = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) count += rest % 2;
  return count;
}
