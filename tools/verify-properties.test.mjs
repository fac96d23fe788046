import assert from 'node:assert/strict';
import { test } from 'node:test';
import { environmentOf, main } from './verify-properties.mjs';

test('what is asked for is told to the spec', () => {
  assert.deepEqual(environmentOf([]), { PROOF_RUNS: '100', PROOF_STEPS: '50', PROOF_SECONDS: '1800' });
  assert.deepEqual(environmentOf(['--seed', '7', '--path', '3:0', '--steps', '40', '--shrink']), {
    PROOF_RUNS: '1',
    PROOF_STEPS: '40',
    PROOF_SECONDS: '1800',
    PROOF_SEED: '7',
    PROOF_PATH: '3:0',
    PROOF_SHRINK: '1',
  });
});

test('what cannot be understood is refused', async () => {
  for (const words of [
    ['--seed', 'x'],
    ['--path', '1'],
    ['--path', 'a', '--seed', '1'],
    ['--runs', '-1'],
    ['more'],
  ])
    assert.equal(await main(words), 2);
});
