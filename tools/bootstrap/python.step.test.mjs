import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fakeMachine, fakeReporter, temporaryFolder } from './fake-machine.mjs';
import { pythonStep } from './python.step.mjs';

function contextFor(test, printed) {
  const root = temporaryFolder(test);
  mkdirSync(join(root, 'tools'));
  writeFileSync(join(root, 'tools/python.mjs'), '');
  const machine = fakeMachine({}, { [process.execPath]: () => printed, '/venv/bin/python': () => '' });
  return { root, machine, reporter: fakeReporter(), record: {} };
}

test('the path that is printed last is recorded', async (test) => {
  const context = contextFor(test, 'making an environment\n/venv/bin/python\n');
  await pythonStep.run(context);
  assert.deepEqual(context.record.python, { path: '/venv/bin/python' });
});

test('anything but the path of a program is a failed step', async (test) => {
  for (const printed of ['', 'python\n', '/venv/bin/missing\n']) {
    await assert.rejects(pythonStep.run(contextFor(test, printed)), /which is no program/);
  }
});

test('a tree without the script is a failed step', async (test) => {
  const context = { ...contextFor(test, ''), root: temporaryFolder(test) };
  await assert.rejects(pythonStep.run(context), /tools\/python\.mjs is missing/);
});
