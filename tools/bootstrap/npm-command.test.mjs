import assert from 'node:assert/strict';
import { test } from 'node:test';
import { driverGivenToNpm } from './npm-command.mjs';

const prestart = { npm_lifecycle_event: 'prestart' };
const given = (title, env = prestart) =>
  driverGivenToNpm(env, () => ['sh -c node tools/bootstrap.mjs', title]);

test('the driver is read from the command line of npm', () => {
  assert.equal(given('npm start --driver process'), 'process');
  assert.equal(given('npm run start --driver=process'), 'process');
  assert.equal(given('npm start --detach --driver docker'), 'docker');
});

test('without --driver there is none', () => {
  assert.equal(given('npm start'), undefined);
  assert.equal(given('npm start --drivers process'), undefined);
});

test('only npm is listened to, and only in a script that runs before another', () => {
  assert.equal(given('somebody --driver process'), undefined);
  assert.equal(given('npm start --driver process', { npm_lifecycle_event: 'start' }), undefined);
  assert.equal(given('npm start --driver process', {}), undefined);
});

test('the real ancestors can be read', () => assert.doesNotThrow(() => driverGivenToNpm(prestart)));
