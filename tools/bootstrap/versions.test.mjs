import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAtLeast, readVersion } from './versions.mjs';

test('versions are read out of what programs print', () => {
  assert.deepEqual(readVersion('nats-server: v2.15.2\n'), [2, 15, 2]);
  assert.deepEqual(readVersion('go1.26'), [1, 26, 0]);
  assert.deepEqual(readVersion('20.10.24+dfsg1'), [20, 10, 24]);
  assert.equal(readVersion('unknown'), undefined);
});

test('versions are compared part by part, as numbers', () => {
  assert.equal(isAtLeast([2, 12, 0], [2, 12, 0]), true);
  assert.equal(isAtLeast([2, 9, 10], [2, 12, 0]), false);
  assert.equal(isAtLeast([3, 0, 0], [2, 12, 9]), true);
  assert.equal(isAtLeast([1, 41, 0], [1, 41]), true);
  assert.equal(isAtLeast(undefined, [1]), false);
});
