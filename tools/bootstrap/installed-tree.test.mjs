import assert from 'node:assert/strict';
import { test } from 'node:test';
import { installedMatchesLock } from './installed-tree.mjs';

const lock = {
  packages: {
    '': { name: 'tradefleet' },
    'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
    'node_modules/only-mac': { version: '1.0.0', integrity: 'sha512-m', optional: true },
  },
};
const a = lock.packages['node_modules/a'];

test('a tree with every package of the lock matches; optional ones may be missing', () => {
  assert.equal(installedMatchesLock(lock, { packages: { 'node_modules/a': { ...a } } }), true);
});

test('a missing, other or additional package does not match', () => {
  const others = [
    {},
    { packages: {} },
    { packages: { 'node_modules/a': { ...a, version: '1.0.1' } } },
    { packages: { 'node_modules/a': { ...a, integrity: 'sha512-x' } } },
    { packages: { 'node_modules/a': a, 'node_modules/b': { version: '1.0.0' } } },
  ];
  for (const installed of others) assert.equal(installedMatchesLock(lock, installed), false);
});
