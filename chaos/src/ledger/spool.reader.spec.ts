import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { readSpool } from './spool.reader.js';

describe('readSpool', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tradefleet-spool-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('reads what was committed and never brought into the file, while it is locked', () => {
    const path = join(folder, 'agent.sqlite');
    const agent = new DatabaseSync(path);
    agent.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;');
    agent.exec(
      'CREATE TABLE incarnations (id TEXT, sequence INTEGER); CREATE TABLE spool (position INTEGER, published INTEGER);',
    );
    agent.exec(
      "INSERT INTO incarnations VALUES ('one', 7); INSERT INTO spool VALUES (5, 1), (6, 0), (7, 0);",
    );
    try {
      expect(readSpool(path, folder)).toEqual({ incarnations: new Map([['one', 7]]), waiting: 2 });
    } finally {
      agent.close();
    }
  });

  it('finds nothing where no agent ever was', () => {
    expect(readSpool(join(folder, 'none.sqlite'), folder)).toEqual({ incarnations: new Map(), waiting: 0 });
  });
});
