import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkDocuments, writeDocuments } from './generated.files.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tradefleet-generate-'));
});
afterEach(() => rmSync(root, { recursive: true }));
const documents = [
  { path: 'docs/generated/a.md', text: 'one\ntwo\nthree\n' },
  { path: 'docs/generated/b.md', text: 'b\n' },
];

describe('writeDocuments', () => {
  it('writes what is missing or differs, and nothing else', () => {
    expect(writeDocuments(root, documents)).toEqual(['docs/generated/a.md', 'docs/generated/b.md']);
    expect(writeDocuments(root, documents)).toEqual([]);
    writeFileSync(join(root, 'docs/generated/b.md'), 'c\n');
    expect(writeDocuments(root, documents)).toEqual(['docs/generated/b.md']);
    expect(readFileSync(join(root, 'docs/generated/b.md'), 'utf8')).toBe('b\n');
  });
});

describe('checkDocuments', () => {
  it('tells where each differs and by how much, and writes nothing', () => {
    writeDocuments(root, documents.slice(0, 1));
    writeFileSync(join(root, 'docs/generated/a.md'), 'one\n2\nthree\nfour\n');
    expect(checkDocuments(root, documents)).toEqual([
      'docs/generated/a.md:2: differs (1 lines to add, 2 to take away); wanted: two',
      'docs/generated/b.md: is missing',
    ]);
    expect(readFileSync(join(root, 'docs/generated/a.md'), 'utf8')).toBe('one\n2\nthree\nfour\n');
  });

  it('says nothing when all is as it should be', () => {
    writeDocuments(root, documents);
    expect(checkDocuments(root, documents)).toEqual([]);
  });
});
