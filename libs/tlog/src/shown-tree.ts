import { hash_bytes, nodeHash, requireHash } from './hash.js';

/**
 * Checks proofs against one small tree of a known root, and remembers the nodes that were shown, so that the records of a
 * tree cost one hash each instead of one for each level. It answers as `verifyInclusion` does.
 *
 * A node is remembered together with its neighbour and all above both of them: what stands above a known node need only
 * be compared.
 */
export class ShownTree {
  /** Nodes of each level, from the leaves to the root; and how many are in the levels below it. */
  private readonly levels: readonly { readonly count: number; readonly before: number }[];
  /** By level and place. One piece of memory: slices of what came in would keep all of that. */
  private readonly hashes: Buffer;
  private readonly isShown: Uint8Array;

  /** @param size of a tree that may be held: 64 bytes for each record */
  constructor(
    private readonly size: number,
    root: Buffer,
  ) {
    requireHash(root);
    if (!Number.isSafeInteger(size) || size < 1) throw new RangeError('A tree has at least one record.');
    const levels: { count: number; before: number }[] = [];
    let before = 0;
    for (let count = size; ; count = Math.ceil(count / 2)) {
      levels.push({ count, before });
      before += count;
      if (count === 1) break;
    }
    this.levels = levels;
    this.hashes = Buffer.alloc(before * hash_bytes);
    this.isShown = new Uint8Array(before);
    this.keep(before - 1, root);
  }

  /** Whether the proof shows the record with this hash at its position. Never throws. */
  shows(position: number, leaf: Buffer, proof: readonly Buffer[]): boolean {
    const isPlace = Number.isSafeInteger(position) && position >= 0 && position < this.size;
    if (!isPlace || leaf.length !== hash_bytes || proof.some((hash) => hash.length !== hash_bytes))
      return false;
    const met: (readonly [slot: number, hash: Buffer])[] = [];
    const rest = proof.values();
    let [at, hash] = [position, leaf];
    let isKnown = false;
    for (const { count, before } of this.levels) {
      const [slot, neighbour] = [before + at, before + (at ^ 1)];
      // The root at the latest is known.
      if (!isKnown && this.isShown[slot] === 1) {
        if (!this.holds(slot, hash)) return false;
        isKnown = true;
      }
      if ((at ^ 1) < count) {
        const beside = rest.next().value;
        if (beside === undefined || (isKnown && !this.holds(neighbour, beside))) return false;
        if (!isKnown) {
          met.push([slot, hash], [neighbour, beside]);
          hash = at % 2 === 1 ? nodeHash(beside, hash) : nodeHash(hash, beside);
        }
      }
      at = Math.floor(at / 2);
    }
    if (rest.next().done !== true) return false;
    for (const [slot, shown] of met) this.keep(slot, shown);
    return true;
  }

  private holds(slot: number, hash: Buffer): boolean {
    return this.isShown[slot] === 1 && this.hashAt(slot).equals(hash);
  }

  private keep(slot: number, hash: Buffer): void {
    hash.copy(this.hashes, slot * hash_bytes);
    this.isShown[slot] = 1;
  }

  private hashAt(slot: number): Buffer {
    return this.hashes.subarray(slot * hash_bytes, (slot + 1) * hash_bytes);
  }
}
