import { describe, expect, it } from '@jest/globals';
import { hash_bytes, leafHash, subtreeRoot, TileBuilder, type Tile } from '#libs/tlog';
import { damageOf, type ParentTile, type Stretch } from './stretch.js';

const size = 65_536;
const leaves = Array.from({ length: size }, (_, n) => leafHash(`record ${n}`));
const tiles = new Map<string, Tile>();
const builder = TileBuilder.empty();
for (const leaf of leaves)
  for (const tile of builder.append(leaf)) tiles.set(`${tile.level}/${tile.index}`, tile);
const hashesOf = (level: number, index: number): Buffer => {
  const tile = tiles.get(`${level}/${index}`);
  if (tile === undefined) throw new Error('no such tile');
  return tile.hashes;
};
const leafAt = (position: number): Buffer => leaves[position] ?? Buffer.alloc(0);
const other = leafHash('another');

const parent = (hashes: Buffer | null = hashesOf(1, 0)): ParentTile => ({ level: 1, index: 0, hashes });
/** A stretch as it should be. */
function stretch(index = 3, changes: Partial<Stretch> = {}, length = 256): Stretch {
  const from = index * 256;
  const positions = Array.from({ length }, (_, at) => from + at);
  return {
    ...{ from, to: from + length, archived: new Set() },
    rows: positions.map((position) => ({ position, leaf: leafAt(position), stored: leafAt(position) })),
    tile: hashesOf(0, index),
    parents: [parent()],
    witness: Buffer.concat(positions.map(leafAt)),
    ...changes,
  };
}
const none = Buffer.alloc(0);
const without = (it: Stretch, ...positions: number[]) =>
  it.rows.filter((row) => !positions.includes(row.position));
const changed = (hashes: Buffer, at: number): Buffer => {
  const copy = Buffer.from(hashes);
  other.copy(copy, at * hash_bytes);
  return copy;
};
const whatOf = (it: Stretch) => damageOf(it).map(({ what, position }) => [what, position]);

describe('damageOf', () => {
  it('finds nothing in what is as it was committed', () => {
    expect(damageOf(stretch())).toEqual([]);
    expect(damageOf(stretch(3, { witness: none }))).toEqual([]);
    expect(damageOf(stretch(3, { parents: [] }))).toEqual([]);
    expect(damageOf(stretch(3, { tile: null, parents: [] }, 100))).toEqual([]);
    expect(damageOf(stretch(3, { tile: null, parents: [], witness: none }, 100))).toEqual([]);
  });

  it('finds rows that are gone, but for those in an archive', () => {
    const rows = without(stretch(), 770, 771, 900);
    expect(damageOf(stretch(3, { rows }))).toEqual([
      { what: 'row-missing', position: 770, records: 3, detail: 'Its record is gone.' },
    ]);
    expect(damageOf(stretch(3, { rows, archived: new Set([770, 771, 900]) }))).toEqual([]);
    expect(whatOf(stretch(3, { rows, archived: new Set([770]) }))).toEqual([['row-missing', 771]]);
  });

  it.each([
    ['by the witness', {}],
    ['by the tree', { witness: none }],
    ['by the tile alone', { witness: none, parents: [] }],
  ])('finds a row that was changed %s', (_, changes) => {
    const rows = stretch().rows.map((row) =>
      row.position === 800 ? { ...row, leaf: other, stored: other } : row,
    );
    expect(whatOf(stretch(3, { ...changes, rows }))).toEqual([['row-changed', 800]]);
  });

  it('finds a row that no longer fits its own hash, also in an unfinished tile', () => {
    const rows = stretch(3, {}, 100).rows.map((row) =>
      row.position === 800 ? { ...row, leaf: other } : row,
    );
    const unfinished = { tile: null, parents: [], witness: none, rows };
    expect(whatOf(stretch(3, unfinished, 100))).toEqual([['row-changed', 800]]);
  });

  it('finds a second row at a position', () => {
    const rows = stretch().rows.flatMap((row) =>
      row.position === 800 ? [row, { ...row, leaf: other }] : row,
    );
    expect(whatOf(stretch(3, { rows }))).toEqual([['row-inserted', 800]]);
  });

  it('finds a tile that is gone or changed, and blames no record for it', () => {
    expect(whatOf(stretch(3, { tile: null }))).toEqual([['tile-missing', 768]]);
    expect(whatOf(stretch(3, { tile: null, witness: none }))).toEqual([['tile-missing', 768]]);
    const tile = changed(hashesOf(0, 3), 5);
    expect(whatOf(stretch(3, { tile }))).toEqual([['tile-changed', 768]]);
    expect(whatOf(stretch(3, { tile, witness: none }))).toEqual([['tile-changed', 768]]);
  });

  it('finds what is wrong in the tiles above', () => {
    expect(damageOf(stretch(3, { parents: [parent(null)] }))).toEqual([
      { what: 'tile-missing', position: 0, records: 65_536, detail: 'Tile 1/0 of the tree is gone.' },
    ]);
    expect(whatOf(stretch(3, { parents: [parent(changed(hashesOf(1, 0), 3))] }))).toEqual([
      ['tile-changed', 0],
    ]);
    const top = { level: 2, index: 0, hashes: Buffer.alloc(8192) };
    expect(whatOf(stretch(255, { parents: [parent(), top] }))).toEqual([['tile-changed', 0]]);
    subtreeRoot(hashesOf(1, 0)).copy(top.hashes);
    expect(whatOf(stretch(255, { parents: [parent(), top] }))).toEqual([]);
  });

  it('takes the word of the witness against that of the database', () => {
    const rows = stretch().rows.map((row) =>
      row.position === 800 ? { ...row, leaf: other, stored: other } : row,
    );
    const tile = changed(hashesOf(0, 3), 800 - 768);
    const above = changed(hashesOf(1, 0), 3);
    subtreeRoot(tile).copy(above, 3 * hash_bytes);
    expect(whatOf(stretch(3, { rows, tile, parents: [parent(above)] }))).toEqual([
      ['row-changed', 800],
      ['tile-changed', 768],
    ]);
    // Without it nothing shows: that is what it is for.
    expect(whatOf(stretch(3, { rows, tile, parents: [parent(above)], witness: none }))).toEqual([]);
  });
});
