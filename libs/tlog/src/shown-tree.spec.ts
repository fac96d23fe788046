import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { hash_bytes, leafHash } from './hash.js';
import { inclusionRoot, verifyInclusion } from './proof-check.js';
import { rootAt, inclusionProof } from './proof.js';
import { ShownTree } from './shown-tree.js';
import { wholeTree } from './whole-tree.js';

const leavesOf = (size: number): Buffer[] =>
  Array.from({ length: size }, (_, position) => leafHash(`record ${position}`));

describe('a whole tree', () => {
  it('has the root and the proofs of a log of the same records', async () => {
    for (let size = 0; size <= 67; size += 1) {
      const leaves = leavesOf(size);
      const read = async (): Promise<Buffer> => Buffer.concat(leaves);
      const { root, proofs } = wholeTree(leaves);
      expect(root).toEqual(await rootAt(size, read));
      for (const [position, proof] of proofs.entries())
        expect(proof).toEqual(await inclusionProof(position, size, read));
      expect(proofs).toHaveLength(size);
    }
  });

  it('takes nothing but hashes', () => {
    expect(() => wholeTree([Buffer.alloc(hash_bytes - 1)])).toThrow(RangeError);
  });
});

describe('a tree of which nodes are shown', () => {
  /** A record's proof, changed in a way that may leave it as it is. */
  const asked = fc.record({
    position: fc.nat(70),
    change: fc.constantFrom('none', 'leaf', 'hash', 'less', 'more', 'long', 'other position', 'node'),
    at: fc.nat(6),
  });

  it('answers as one that remembers nothing, in whatever order it is asked', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 67 }), fc.array(asked, { maxLength: 60 }), (size, questions) => {
        const leaves = leavesOf(size);
        const { root, proofs } = wholeTree(leaves);
        const tree = new ShownTree(size, root);
        for (const { position, change, at } of questions) {
          let leaf = leaves[position % size] ?? leafHash('');
          const proof = [...(proofs[position % size] ?? [])];
          let place = position % size;
          if (change === 'leaf') leaf = leafHash('forged');
          if (change === 'hash' && at < proof.length) proof[at] = leafHash('forged');
          if (change === 'less') proof.pop();
          if (change === 'more') proof.push(leafHash('more'));
          if (change === 'long') proof.push(Buffer.alloc(hash_bytes + 1));
          if (change === 'other position') place = position;
          // What stands above a leaf, as if it were one.
          if (change === 'node') leaf = proof.shift() ?? leaf;
          const inclusion = { position: place, size, leaf, proof, root };
          expect(tree.shows(place, leaf, proof)).toBe(verifyInclusion(inclusion));
          expect(inclusionRoot(inclusion)?.equals(root) ?? false).toBe(verifyInclusion(inclusion));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('learns nothing from what is false', () => {
    const leaves = leavesOf(8);
    const { root, proofs } = wholeTree(leaves);
    const tree = new ShownTree(8, root);
    const [first = leafHash(''), second = first] = leaves;
    const forged = [leafHash('forged'), ...(proofs[0] ?? []).slice(1)];
    expect(tree.shows(0, first, forged)).toBe(false);
    expect(tree.shows(1, leafHash('forged'), proofs[1] ?? [])).toBe(false);
    expect(tree.shows(0, first, proofs[0] ?? [])).toBe(true);
    expect(tree.shows(1, second, proofs[1] ?? [])).toBe(true);
    expect(tree.shows(1, second, [second, ...(proofs[1] ?? []).slice(1)])).toBe(false);
  });

  it('knows no place outside of it', () => {
    const { root, proofs } = wholeTree(leavesOf(3));
    const tree = new ShownTree(3, root);
    for (const position of [-1, 3, 0.5, NaN, Infinity])
      expect(tree.shows(position, leafHash('record 0'), proofs[0] ?? [])).toBe(false);
    for (const size of [0, -1, 1.5]) expect(() => new ShownTree(size, root)).toThrow(RangeError);
  });
});
