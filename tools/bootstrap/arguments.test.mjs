import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readArguments } from './arguments.mjs';
import { UsageFailure } from './failure.mjs';

const nothingTyped = () => undefined;
const read = (words, env = {}, typed = nothingTyped) => readArguments(words, env, typed);

test('the defaults are start and docker', () => {
  assert.deepEqual(read([]), { purpose: 'start', driver: 'docker', json: false, help: false });
});

test('options may be written with a space or an equals sign', () => {
  const expected = { purpose: 'test', driver: 'process', json: true, help: false };
  assert.deepEqual(read(['--for', 'test', '--driver', 'process', '--json']), expected);
  assert.deepEqual(read(['--for=test', '--driver=process', '--json']), expected);
});

test('the driver comes from the arguments, then from npm start, then from the environment', () => {
  const env = { TRADEFLEET_DRIVER: 'process' };
  assert.equal(read([], env).driver, 'process');
  assert.equal(read([], env, () => 'docker').driver, 'docker');
  assert.equal(read(['--driver', 'process'], {}, () => 'docker').driver, 'process');
  assert.equal(read([], { TRADEFLEET_DRIVER: '' }).driver, 'docker');
});

for (const words of [['--for'], ['--for', 'fun'], ['--driver=podman'], ['extra'], ['--nonsense']]) {
  test(`${words.join(' ')} is refused`, () => assert.throws(() => read(words), UsageFailure));
}

test('an unknown driver is refused wherever it comes from', () => {
  assert.throws(() => read([], { TRADEFLEET_DRIVER: 'podman' }), /TRADEFLEET_DRIVER must be one of/);
  assert.throws(() => read([], {}, () => 'podman'), /npm start --driver must be one of/);
});
