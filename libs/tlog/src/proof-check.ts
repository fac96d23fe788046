import { emptyRoot, hash_bytes, nodeHash } from './hash.js';

export interface Inclusion {
  readonly position: number;
  readonly size: number;
  /** Hash of the record. */
  readonly leaf: Buffer;
  readonly proof: readonly Buffer[];
  /** Of the log of `size` records. */
  readonly root: Buffer;
}

export interface Consistency {
  readonly from: number;
  readonly to: number;
  readonly fromRoot: Buffer;
  readonly toRoot: Buffer;
  readonly proof: readonly Buffer[];
}

/** Whether the proof shows the record at its position (RFC 9162, section 2.1.3.2). Never throws. */
export const verifyInclusion = ({ root, ...shown }: Inclusion): boolean =>
  inclusionRoot(shown)?.equals(root) ?? false;

/**
 * The root that a log must have when the record is at this position and the proof is right; null where no log of this
 * size has a proof of this form. Never throws.
 */
export function inclusionRoot({ position, size, leaf, proof }: Omit<Inclusion, 'root'>): Buffer | null {
  if (!isSize(position) || !isSize(size) || position >= size || !areHashes([leaf, ...proof])) return null;
  const way = new Way(position, size - 1);
  let hash = leaf;
  for (const beside of proof) {
    if (way.isOver) return null;
    hash = way.isRight ? nodeHash(beside, hash) : nodeHash(hash, beside);
    way.climb();
  }
  return way.isOver ? hash : null;
}

/** Whether the proof shows that the larger log begins with the smaller one (RFC 9162, section 2.1.4.2). Never throws. */
export function verifyConsistency({ from, to, fromRoot, toRoot, proof }: Consistency): boolean {
  if (!isSize(from) || !isSize(to) || from > to || !areHashes([fromRoot, toRoot, ...proof])) return false;
  if (from === to) return proof.length === 0 && fromRoot.equals(toRoot);
  if (from === 0) return proof.length === 0 && fromRoot.equals(emptyRoot);
  // A log of a power of two is a subtree of the larger one, so its root stands where the proof would begin.
  const [first, ...rest] = Number.isInteger(Math.log2(from)) ? [fromRoot, ...proof] : proof;
  if (first === undefined) return false;
  const way = new Way(from - 1, to - 1);
  way.leaveRightEdges();
  let [smaller, larger] = [first, first];
  for (const beside of rest) {
    if (way.isOver) return false;
    if (way.isRight) smaller = nodeHash(beside, smaller);
    larger = way.isRight ? nodeHash(beside, larger) : nodeHash(larger, beside);
    way.climb();
  }
  return way.isOver && smaller.equals(fromRoot) && larger.equals(toRoot);
}

/** The way from a leaf up to the root: the places of the leaf and of the last leaf, level by level. */
class Way {
  constructor(
    private at: number,
    private last: number,
  ) {}

  get isOver(): boolean {
    return this.last === 0;
  }

  /** Whether what is beside stands to the left. */
  get isRight(): boolean {
    return this.at % 2 === 1 || this.at === this.last;
  }

  climb(): void {
    // A last node without a neighbour goes up as it is.
    if (this.at % 2 === 0 && this.at === this.last) while (this.at % 2 === 0 && this.at !== 0) this.up();
    this.up();
  }

  leaveRightEdges(): void {
    while (this.at % 2 === 1) this.up();
  }

  private up(): void {
    this.at = Math.floor(this.at / 2);
    this.last = Math.floor(this.last / 2);
  }
}

const isSize = (size: number): boolean => Number.isSafeInteger(size) && size >= 0;
const areHashes = (hashes: readonly Buffer[]): boolean => hashes.every((it) => it.length === hash_bytes);
