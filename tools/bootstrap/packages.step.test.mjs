import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { EXIT_CANNOT_INSTALL } from './failure.mjs';
import { failing, fakeMachine, fakeReporter, temporaryFolder } from './fake-machine.mjs';
import { packagesStep } from './packages.step.mjs';

const LOCK = { packages: { '': {}, 'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' } } };

/** A tree and an npm that remembers how it was called. */
function contextFor(test, { npm = () => '', lock = LOCK, env = { PATH: '/usr/bin' } } = {}) {
  const root = temporaryFolder(test);
  writeFileSync(join(root, 'package.json'), '{}');
  if (lock) writeFileSync(join(root, 'package-lock.json'), JSON.stringify(lock));
  const machine = fakeMachine({ env }, { '/usr/bin/npm': npm, '/usr/bin/node': () => '' });
  return { root, machine, reporter: fakeReporter() };
}

const verbs = ({ machine }) => machine.calls.map((call) => call.split(' ').slice(1, 3).join(' '));

test('packages are installed from the lock once, and again when the lock changes', async (test) => {
  const context = contextFor(test);
  await packagesStep.run(context);
  await packagesStep.run(context);
  assert.deepEqual(verbs(context), ['ci --include=dev']);
  writeFileSync(join(context.root, 'package-lock.json'), JSON.stringify({ ...LOCK, changed: true }));
  await packagesStep.run(context);
  assert.equal(context.machine.calls.length, 2);
});

test('without a lock npm install makes one', async (test) => {
  const context = contextFor(test, { lock: null });
  await packagesStep.run(context);
  assert.deepEqual(verbs(context), ['install --include=dev']);
});

test('a tree that npm install has just brought up to date is left alone', async (test) => {
  const context = contextFor(test);
  mkdirSync(join(context.root, 'node_modules'));
  const installed = { packages: { 'node_modules/a': LOCK.packages['node_modules/a'] } };
  writeFileSync(join(context.root, 'node_modules/.package-lock.json'), JSON.stringify(installed));
  await packagesStep.run(context);
  assert.deepEqual(context.machine.calls, []);
});

test('a lock that npm ci finds incomplete is installed without being rewritten', async (test) => {
  const npm = ([verb], { onLine }) => {
    if (verb !== 'ci') return '';
    onLine('npm error code EUSAGE');
    return failing('usage')();
  };
  const context = contextFor(test, { npm });
  await packagesStep.run(context);
  assert.deepEqual(verbs(context), ['ci --include=dev', 'install --no-save']);
});

test('any other failure of npm is a failed step and leaves no stamp', async (test) => {
  const context = contextFor(test, { npm: failing('npm error code ENOTFOUND') });
  await assert.rejects(packagesStep.run(context), /ended with code 1/);
  assert.deepEqual(verbs(context), ['ci --include=dev']);
  assert.equal(existsSync(join(context.root, 'node_modules/.tradefleet-stamp')), false);
});

test('the npm that runs us is used, and never the Node that it is about to remove', async (test) => {
  const script = join(temporaryFolder(test), 'npm-cli.js');
  writeFileSync(script, '');
  const context = contextFor(test);
  context.machine.env = {
    PATH: `${join(context.root, 'node_modules/.bin')}:/usr/bin`,
    npm_execpath: script,
    npm_node_execpath: join(context.root, 'node_modules/node/bin/node'),
  };
  await packagesStep.run(context);
  assert.ok(context.machine.calls[0].startsWith(`/usr/bin/node ${script} ci `), context.machine.calls[0]);
});

test('without npm the error says so', async (test) => {
  const context = contextFor(test);
  context.machine = fakeMachine();
  const failure = await packagesStep.run(context).then(assert.fail, (error) => error);
  assert.equal(failure.exitCode, EXIT_CANNOT_INSTALL);
});
