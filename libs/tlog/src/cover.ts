import { emptyRoot, nodeHash, requireHash, requireSize } from './hash.js';
import { completeRoot } from './proof.js';
import type { ReadTile } from './tile.js';

/** The records `[from, from + count)`: a power of two of them, beginning at a multiple of it. */
export interface Subtree {
  readonly from: number;
  readonly count: number;
}

/** The fewest complete subtrees that the records `[from, to)` are made of, in their order; at most 105. */
export function subtreesOf(from: number, to: number): Subtree[] {
  requireSize(from);
  requireSize(to);
  const subtrees: Subtree[] = [];
  for (let at = from; at < to;) {
    let count = 1;
    while (count * 2 <= to - at && at % (count * 2) === 0) count *= 2;
    subtrees.push({ from: at, count });
    at += count;
  }
  return subtrees;
}

/** Root of a complete subtree of the log. */
export const subtreeHash = async ({ from, count }: Subtree, read: ReadTile): Promise<Buffer> =>
  await completeRoot(from, Math.log2(count), read);

/**
 * A log of which some records are there and of the others only the roots of subtrees. Both are given from left to right,
 * without a gap; the root is that of the log, so every record given is where it says it is. Holds at most 53 hashes.
 */
export class Cover {
  private readonly roots: { readonly count: number; readonly hash: Buffer }[] = [];
  private covered = 0;

  /** Records given so far. */
  get size(): number {
    return this.covered;
  }

  /** The hash of the record at `position`. Throws `RangeError` unless it is the next one. */
  record(position: number, hash: Buffer): void {
    this.subtree({ from: position, count: 1 }, hash);
  }

  /** Throws `RangeError` unless the subtree is complete and the next one. */
  subtree({ from, count }: Subtree, hash: Buffer): void {
    requireSize(from);
    requireHash(hash);
    const isSubtree = count >= 1 && Number.isSafeInteger(Math.log2(count)) && from % count === 0;
    if (from !== this.covered || !isSubtree || !Number.isSafeInteger(from + count))
      throw new RangeError(`What is given at ${from} does not go on from ${this.covered}.`);
    this.covered += count;
    this.roots.push({ count, hash });
    this.merge();
  }

  /** Of the log up to here. */
  root(): Buffer {
    let root = this.roots.at(-1)?.hash ?? emptyRoot;
    for (const { hash } of this.roots.slice(0, -1).reverse()) root = nodeHash(hash, root);
    return Buffer.from(root);
  }

  /** Two of the same size are the halves of one: what is left are the digits of the size. */
  private merge(): void {
    for (;;) {
      const [left, right] = this.roots.slice(-2);
      if (left === undefined || right === undefined || left.count !== right.count) return;
      this.roots.splice(-2, 2, { count: left.count * 2, hash: nodeHash(left.hash, right.hash) });
    }
  }
}
