import assert from 'node:assert/strict';
import { test } from 'node:test';
import { spread } from './spec.sequencer.mjs';

const others = Array.from({ length: 20 }, (_, n) => `libs/clock/src/${n}.spec.ts`);
const long = ['e2e/b.spec.ts', 'e2e/a.spec.ts', 'proof/src/rules.spec.ts'];

test('long specs are spread over the others, each kind in its order, and none is lost', () => {
  const order = spread([...others.slice(0, 7), ...long, ...others.slice(7)], (path) => path);
  assert.deepEqual(order.toSorted(), [...others, ...long].toSorted());
  assert.deepEqual(
    order.filter((path) => long.includes(path)),
    long,
  );
  assert.deepEqual(
    order.filter((path) => others.includes(path)),
    others,
  );
  assert.deepEqual(
    long.map((path) => order.indexOf(path)),
    [0, 5, 11],
  );
});

test('specs of one kind alone keep their order', () => {
  assert.deepEqual(
    spread(long, (path) => path),
    long,
  );
  assert.deepEqual(
    spread(others, (path) => path),
    others,
  );
});
