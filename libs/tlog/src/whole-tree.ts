import { emptyRoot, nodeHash, requireHash } from './hash.js';

/** A tree that is small enough to be held, with the proof of each of its records. */
export interface WholeTree {
  readonly root: Buffer;
  /** As `inclusionProof` gives it, by position: the nearest hash first. */
  readonly proofs: readonly (readonly Buffer[])[];
}

/** Root and proofs of the records with these hashes (RFC 6962, section 2.1). In memory: for some hundreds at most. */
export function wholeTree(leaves: readonly Buffer[]): WholeTree {
  leaves.forEach(requireHash);
  const proofs: Buffer[][] = leaves.map(() => []);
  let level = leaves;
  for (let height = 0; level.length > 1; height += 1) {
    for (const [position, proof] of proofs.entries()) {
      // A last node without a neighbour goes up as it is.
      const beside = level[Math.floor(position / 2 ** height) ^ 1];
      if (beside !== undefined) proof.push(beside);
    }
    level = parentsOf(level);
  }
  return { root: level[0] ?? emptyRoot, proofs };
}

function parentsOf(level: readonly Buffer[]): Buffer[] {
  const parents: Buffer[] = [];
  for (let at = 0; at < level.length; at += 2) {
    const [left = emptyRoot, right] = [level[at], level[at + 1]];
    parents.push(right === undefined ? left : nodeHash(left, right));
  }
  return parents;
}
