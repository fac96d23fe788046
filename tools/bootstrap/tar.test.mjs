import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from './fake-machine.mjs';
import { tarOf } from './tar.mjs';

test('tar reads back every file, also empty ones, full blocks and long paths', (context) => {
  const folder = temporaryFolder(context);
  const long = `${'a/'.repeat(60)}${'n'.repeat(80)}.py`;
  const files = [
    { path: 'empty', content: Buffer.alloc(0) },
    { path: 'block', content: Buffer.alloc(512, 'b') },
    { path: long, content: Buffer.from('more than one block '.repeat(40)) },
  ];
  writeFileSync(join(folder, 'x.tar'), tarOf(files));
  execFileSync('tar', ['-xf', join(folder, 'x.tar'), '-C', folder]);
  for (const { path, content } of files) assert.deepEqual(readFileSync(join(folder, path)), content);
});

test('the same files give the same bytes', () => {
  const files = [{ path: 'a', content: Buffer.from('1') }];
  assert.deepEqual(tarOf(files), tarOf(files));
});

test('a path that the format cannot hold is refused', () => {
  assert.throws(() => tarOf([{ path: 'x'.repeat(101), content: Buffer.alloc(0) }]), RangeError);
});
