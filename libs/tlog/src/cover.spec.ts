import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Cover, subtreeHash, subtreesOf } from './cover.js';
import { Frontier } from './frontier.js';
import { leafHash } from './hash.js';
import { tileReader } from './tile.js';
import { TileBuilder } from './tile-builder.js';

const leaves = Array.from({ length: 1000 }, (_, index) => leafHash(`${index}`));

function logOf(size: number) {
  const frontier = Frontier.empty();
  const builder = TileBuilder.empty();
  const tiles = leaves.slice(0, size).flatMap((leaf) => {
    frontier.append(leaf);
    return builder.append(leaf);
  });
  const read = tileReader(size, {
    leaves: async (from, to) => await Promise.resolve(Buffer.concat(leaves.slice(from, to))),
    tiles: async (level, from, to) =>
      await Promise.resolve(
        Buffer.concat(
          tiles
            .filter((it) => it.level === level && it.index >= from && it.index < to)
            .map((it) => it.hashes),
        ),
      ),
  });
  return { root: frontier.root(), read };
}

const some = fc
  .integer({ min: 1, max: leaves.length })
  .chain((size) => fc.tuple(fc.constant(size), fc.uniqueArray(fc.nat(size - 1), { maxLength: 60 })));

describe('a cover', () => {
  it('has the root of the log, whichever records are there', async () => {
    await fc.assert(
      fc.asyncProperty(some, async ([size, chosen]) => {
        const { root, read } = logOf(size);
        const cover = new Cover();
        const fill = async (to: number) => {
          for (const subtree of subtreesOf(cover.size, to))
            cover.subtree(subtree, await subtreeHash(subtree, read));
        };
        for (const position of chosen.toSorted((one, other) => one - other)) {
          await fill(position);
          cover.record(position, leaves[position] ?? Buffer.alloc(32));
        }
        await fill(size);
        expect(cover.size).toBe(size);
        expect(cover.root()).toEqual(root);
      }),
      { numRuns: 50 },
    );
  });

  it('has another root when a record is another one', () => {
    const cover = new Cover();
    for (const [position, leaf] of leaves.slice(0, 100).entries())
      cover.record(position, position === 42 ? leafHash('another') : leaf);
    expect(cover.root()).not.toEqual(logOf(100).root);
  });

  it('has no gap, no overlap, and no half subtree', () => {
    const leaf = leafHash('x');
    const cover = new Cover();
    cover.record(0, leaf);
    expect(() => cover.record(0, leaf)).toThrow(RangeError);
    expect(() => cover.record(2, leaf)).toThrow(RangeError);
    expect(() => cover.subtree({ from: 1, count: 2 }, leaf)).toThrow(RangeError);
    expect(() => cover.subtree({ from: 1, count: 0 }, leaf)).toThrow(RangeError);
    expect(() => cover.subtree({ from: 1, count: 0.5 }, leaf)).toThrow(RangeError);
    expect(cover.size).toBe(1);
  });

  it('is made of few subtrees', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 40), fc.nat(2 ** 40), (one, other) => {
        const [from, to] = one < other ? [one, other] : [other, one];
        const subtrees = subtreesOf(from, to);
        expect(subtrees.reduce((sum, { count }) => sum + count, 0)).toBe(to - from);
        expect(subtrees.length).toBeLessThanOrEqual(105);
      }),
    );
  });
});
