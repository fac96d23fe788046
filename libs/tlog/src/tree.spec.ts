import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Frontier } from './frontier.js';
import { emptyRoot, hash_bytes, hashAt, leafHash, nodeHash } from './hash.js';
import { verifyConsistency, verifyInclusion } from './proof-check.js';
import { consistencyProof, frontierAt, inclusionProof, rootAt } from './proof.js';
import { TileBuilder } from './tile-builder.js';
import { MissingHashes, tile_bytes, tile_hashes, tileReader, tileWidth, type StoredHashes } from './tile.js';

/** The leaves and roots that Certificate Transparency's implementations share. */
const reference = {
  leaves: [
    '',
    '00',
    '10',
    '2021',
    '3031',
    '40414243',
    '5051525354555657',
    '606162636465666768696a6b6c6d6e6f',
  ],
  roots: [
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
    'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
    '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
    'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
    '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
  ],
  inclusion: {
    position: 5,
    size: 8,
    proof: [
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ],
  },
  consistency: {
    from: 6,
    to: 8,
    proof: [
      '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ],
  },
};
const referenceLeaves = reference.leaves.map((hex) => leafHash(Buffer.from(hex, 'hex')));
const hexes = (hashes: readonly Buffer[]): string[] => hashes.map((it) => it.toString('hex'));

/** The definition of RFC 6962, word for word. */
function naiveRoot(leaves: readonly Buffer[]): Buffer {
  const [only] = leaves;
  if (only === undefined) return emptyRoot;
  if (leaves.length === 1) return only;
  const k = split(leaves.length);
  return nodeHash(naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)));
}

function naiveInclusion(m: number, leaves: readonly Buffer[]): Buffer[] {
  if (leaves.length === 1) return [];
  const k = split(leaves.length);
  return m < k
    ? [...naiveInclusion(m, leaves.slice(0, k)), naiveRoot(leaves.slice(k))]
    : [...naiveInclusion(m - k, leaves.slice(k)), naiveRoot(leaves.slice(0, k))];
}

function naiveConsistency(m: number, leaves: readonly Buffer[], isOld = true): Buffer[] {
  if (m === leaves.length) return isOld ? [] : [naiveRoot(leaves)];
  const k = split(leaves.length);
  return m <= k
    ? [...naiveConsistency(m, leaves.slice(0, k), isOld), naiveRoot(leaves.slice(k))]
    : [...naiveConsistency(m - k, leaves.slice(k), false), naiveRoot(leaves.slice(0, k))];
}

const split = (n: number): number => 2 ** (Math.ceil(Math.log2(n)) - 1);

/** Only what a database would keep: finished tiles, and the records' hashes. */
class Store implements StoredHashes {
  readonly kept = new Map<string, Buffer>();
  readonly builder = TileBuilder.empty();

  constructor(readonly hashes: readonly Buffer[]) {
    for (const leaf of hashes)
      for (const tile of this.builder.append(leaf)) {
        expect(this.kept.has(`${tile.level}/${tile.index}`)).toBe(false);
        this.kept.set(`${tile.level}/${tile.index}`, tile.hashes);
      }
  }

  leaves = async (from: number, to: number) =>
    await Promise.resolve(Buffer.concat(this.hashes.slice(from, to)));

  tiles = async (level: number, from: number, to: number) =>
    await Promise.resolve(
      Buffer.concat(
        Array.from(
          { length: to - from },
          (_, at) => this.kept.get(`${level}/${from + at}`) ?? Buffer.alloc(0),
        ),
      ),
    );

  reader(size: number) {
    return tileReader(size, this);
  }
}

const many = Array.from({ length: 3000 }, (_, index) => leafHash(`record ${index}`));
const big = new Store(many);
const sizes = fc.oneof(
  fc.integer({ min: 1, max: many.length }),
  // Where tiles and subtrees begin and end.
  fc.constantFrom(1, 2, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 2047, 2048, 2049, 2560, 3000),
);
const frontierOf = (leaves: readonly Buffer[]): Frontier => {
  const frontier = Frontier.empty();
  for (const leaf of leaves) frontier.append(leaf);
  return frontier;
};

describe('the tree', () => {
  it('has the roots and proofs that others have', async () => {
    const frontier = Frontier.empty();
    const roots = [frontier.root()];
    for (const leaf of referenceLeaves) {
      frontier.append(leaf);
      roots.push(frontier.root());
    }
    expect(hexes(roots)).toEqual(reference.roots);
    const read = new Store(referenceLeaves).reader(8);
    const { inclusion, consistency } = reference;
    expect(hexes(await inclusionProof(inclusion.position, inclusion.size, read))).toEqual(inclusion.proof);
    expect(hexes(await consistencyProof(consistency.from, consistency.to, read))).toEqual(consistency.proof);
  });

  it('has the root of its definition at every size, however it was stored in between', () => {
    fc.assert(
      fc.property(sizes, fc.double({ min: 0, max: 1, noNaN: true }), (size, where) => {
        const stored = frontierOf(many.slice(0, Math.floor(size * where)));
        const frontier = Frontier.from(stored.size, stored.hashes());
        for (const leaf of many.slice(stored.size, size)) frontier.append(leaf);
        expect(frontier.size).toBe(size);
        expect(frontier.root()).toEqual(naiveRoot(many.slice(0, size)));
      }),
      { numRuns: 60 },
    );
  });

  it('has the same frontier when it is read from tiles', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, async (size) => {
        const read = await frontierAt(size, big.reader(many.length));
        expect(read.hashes()).toEqual(frontierOf(many.slice(0, size)).hashes());
      }),
      { numRuns: 30 },
    );
  });

  it('goes on from a copy without changing what was copied', () => {
    const frontier = frontierOf(many.slice(0, 7));
    const root = frontier.root();
    const copy = frontier.clone();
    copy.append(leafHash('more'));
    expect(frontier.root()).toEqual(root);
    expect(copy.root()).not.toEqual(root);
    expect(() => Frontier.from(7, frontier.hashes().subarray(hash_bytes))).toThrow(RangeError);
  });
});

describe('tiles', () => {
  it('hold every hash of their level, and a builder goes on from what is stored', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, async (size) => {
        const restored = await TileBuilder.restore(size, big.reader(size));
        const kept = new Map<string, Buffer>();
        for (const leaf of many.slice(size))
          for (const tile of restored.append(leaf)) kept.set(`${tile.level}/${tile.index}`, tile.hashes);
        for (const [name, hashes] of kept) expect(hashes).toEqual(big.kept.get(name));
        const missing = [...big.kept.keys()].filter((name) => {
          const [level = 0, index = 0] = name.split('/').map(Number);
          return tileWidth(size, level, index) < tile_hashes;
        });
        expect([...kept.keys()].sort()).toEqual(missing.sort());
        expect(restored.unfinished()).toEqual(big.builder.unfinished());
        expect(restored.clone().unfinished()).toEqual(restored.unfinished());
      }),
      { numRuns: 30 },
    );
    const first = big.kept.get('0/0') ?? Buffer.alloc(0);
    expect(first).toHaveLength(tile_bytes);
    expect(hashAt(first, 255)).toEqual(many[255]);
  });

  it('of the second level have the roots of finished ones, over all their height', async () => {
    const size = 256 * 256 + 300;
    const wide = new Store(Array.from({ length: size }, (_, index) => leafHash(`${index}`)));
    expect([...wide.kept.keys()].filter((name) => !name.startsWith('0/'))).toEqual(['1/0']);
    expect(await rootAt(size, wide.reader(size))).toEqual(frontierOf(wide.hashes).root());
    const proof = await inclusionProof(70, size, wide.reader(size));
    const [leaf, root] = [wide.hashes[70] ?? emptyRoot, await rootAt(size, wide.reader(size))];
    expect(verifyInclusion({ position: 70, size, leaf, proof, root })).toBe(true);
    expect((await TileBuilder.restore(size, wide.reader(size))).unfinished()).toEqual(
      wide.builder.unfinished(),
    );
  });

  it('that are missing are told of', async () => {
    const store = new Store(many.slice(0, 600));
    store.kept.delete('0/1');
    await expect(inclusionProof(0, 600, store.reader(600))).rejects.toThrow(MissingHashes);
  });
});

describe('proofs', () => {
  it('of inclusion are those of the definition, verify, and nothing else does', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, fc.nat(), fc.nat(), async (size, place, change) => {
        const position = place % size;
        const leaves = many.slice(0, size);
        const proof = await inclusionProof(position, size, big.reader(many.length));
        expect(proof).toEqual(naiveInclusion(position, leaves));
        const root = frontierOf(leaves).root();
        const claim = { position, size, leaf: leaves[position] ?? emptyRoot, proof, root };
        expect(verifyInclusion(claim)).toBe(true);
        expect(verifyInclusion({ ...claim, leaf: leafHash('another') })).toBe(false);
        expect(verifyInclusion({ ...claim, root: leafHash('another') })).toBe(false);
        expect(verifyInclusion({ ...claim, proof: [...proof, emptyRoot] })).toBe(false);
        expect(verifyInclusion({ ...claim, position: size })).toBe(false);
        if (proof.length === 0) return;
        expect(verifyInclusion({ ...claim, proof: proof.slice(1) })).toBe(false);
        expect(verifyInclusion({ ...claim, proof: flipped(proof, change) })).toBe(false);
        expect(verifyInclusion({ ...claim, position: (position + 1) % size })).toBe(false);
      }),
      { numRuns: 100 },
    );
  });

  it('of consistency are those of the definition, verify, and nothing else does', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, fc.nat(), fc.nat(), async (to, place, change) => {
        const from = 1 + (place % to);
        const proof = await consistencyProof(from, to, big.reader(many.length));
        expect(proof).toEqual(naiveConsistency(from, many.slice(0, to)));
        const [fromRoot, toRoot] = [naiveRoot(many.slice(0, from)), naiveRoot(many.slice(0, to))];
        const claim = { from, to, fromRoot, toRoot, proof };
        expect(verifyConsistency(claim)).toBe(true);
        expect(verifyConsistency({ ...claim, fromRoot: leafHash('another') })).toBe(false);
        expect(verifyConsistency({ ...claim, toRoot: leafHash('another') })).toBe(false);
        expect(verifyConsistency({ ...claim, proof: [...proof, emptyRoot] })).toBe(false);
        if (proof.length === 0) return;
        expect(verifyConsistency({ ...claim, proof: proof.slice(1) })).toBe(false);
        expect(verifyConsistency({ ...claim, proof: flipped(proof, change) })).toBe(false);
      }),
      { numRuns: 60 },
    );
  });

  it('from the empty log are empty, and a log does not get smaller', async () => {
    expect(await consistencyProof(0, 9, big.reader(9))).toEqual([]);
    const toRoot = naiveRoot(many.slice(0, 9));
    expect(verifyConsistency({ from: 0, to: 9, fromRoot: emptyRoot, toRoot, proof: [] })).toBe(true);
    expect(verifyConsistency({ from: 0, to: 9, fromRoot: toRoot, toRoot, proof: [] })).toBe(false);
    expect(verifyConsistency({ from: 9, to: 8, fromRoot: toRoot, toRoot, proof: [] })).toBe(false);
    await expect(consistencyProof(9, 8, big.reader(9))).rejects.toThrow(RangeError);
    await expect(inclusionProof(9, 9, big.reader(9))).rejects.toThrow(RangeError);
  });

  it('with hashes of another length prove nothing', () => {
    const [leaf, root] = [many[0] ?? emptyRoot, naiveRoot(many.slice(0, 2))];
    const proof = [many[1] ?? emptyRoot];
    expect(verifyInclusion({ position: 0, size: 2, leaf, proof, root })).toBe(true);
    expect(verifyInclusion({ position: 0, size: 2, leaf, proof: [Buffer.alloc(31)], root })).toBe(false);
    expect(verifyInclusion({ position: -1, size: 2, leaf, proof, root })).toBe(false);
    expect(verifyInclusion({ position: 0.5, size: 2, leaf, proof, root })).toBe(false);
  });
});

/** The proof with one bit turned over. */
function flipped(proof: readonly Buffer[], change: number): Buffer[] {
  const changed = proof.map((it) => Buffer.from(it));
  const hash = changed[change % changed.length];
  if (hash !== undefined) hash[change % hash_bytes] = (hash[change % hash_bytes] ?? 0) ^ (1 << (change % 8));
  return changed;
}
