import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MasterKeyError, readMasterKeys } from './master-keys.js';

describe('master key file', () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tradefleet-keys-'));
    path = join(folder, 'master-keys.json');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const write = (content: unknown, mode = 0o600) => {
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
    chmodSync(path, mode);
  };
  const read = () => readMasterKeys(path, { create: false });

  it('is made once, for its owner alone, and then kept', () => {
    const first = readMasterKeys(path, { create: true });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const second = readMasterKeys(path, { create: true });
    expect(second.keys.get('k1')).toEqual(first.keys.get('k1'));
    expect(first.keys.get('k1')).toHaveLength(32);
  });

  it('is not made unless asked for', () => {
    expect(read).toThrow(/restore it from its backup/);
  });

  it.each([0o640, 0o604, 0o660, 0o644])('is refused with mode %o', (mode) => {
    write({ current: 'k1', keys: { k1: Buffer.alloc(32).toString('base64') } }, mode);
    expect(read).toThrow(/chmod 600/);
  });

  it.each([
    ['no JSON', '{"current": "very-secret'],
    ['a current key that is not there', { current: 'k2', keys: { k1: Buffer.alloc(32).toString('base64') } }],
    ['a short key', { current: 'k1', keys: { k1: Buffer.alloc(16).toString('base64') } }],
    ['an unknown field', { current: 'k1', keys: { k1: Buffer.alloc(32).toString('base64') }, more: 1 }],
  ])('is refused with %s, and the error quotes none of it', (_, content) => {
    write(content);
    expect(read).toThrow(MasterKeyError);
    expect(read).not.toThrow(/very-secret|AAAA/);
  });
});
