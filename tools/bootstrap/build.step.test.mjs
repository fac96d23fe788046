import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { buildStep } from './build.step.mjs';
import { failing, fakeMachine, fakeReporter, temporaryFolder } from './fake-machine.mjs';

function contextFor(test, compile) {
  const root = temporaryFolder(test);
  const write = (path, text = '') => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const api = {
    type: 'application',
    root: 'services/api',
    sourceRoot: 'services/api/src',
    entryFile: 'main',
  };
  write('nest-cli.json', JSON.stringify({ projects: { api } }));
  write('services/api/src/main.ts');
  const node = join(root, 'node_modules/node/bin/node');
  const programs = { [node]: compile ?? (() => write('dist/services/api/src/main.js') ?? '') };
  return { root, write, machine: fakeMachine({}, programs), reporter: fakeReporter() };
}

test('sources are compiled once, by the Node of the packages, and again when one changes', async (test) => {
  const context = contextFor(test);
  await buildStep.run(context);
  await buildStep.run(context);
  assert.equal(context.machine.calls.length, 1);
  assert.match(context.machine.calls[0], /node_modules\/node\/bin\/node .*nest\.js build --all --parallel$/);
  context.write('services/api/src/main.ts', 'changed');
  await buildStep.run(context);
  assert.equal(context.machine.calls.length, 2);
});

test('a missing output is made again', async (test) => {
  const context = contextFor(test);
  await buildStep.run(context);
  rmSync(join(context.root, 'dist/services/api/src/main.js'));
  await buildStep.run(context);
  assert.equal(context.machine.calls.length, 2);
});

test('outputs of removed sources go, all others stay', async (test) => {
  const context = contextFor(test);
  context.write('services/api/src/gone.ts');
  await buildStep.run(context);
  context.write('dist/services/api/src/gone.js');
  context.write('dist/kept.js');
  rmSync(join(context.root, 'services/api/src/gone.ts'));
  await buildStep.run(context);
  assert.equal(existsSync(join(context.root, 'dist/services/api/src/gone.js')), false);
  assert.equal(existsSync(join(context.root, 'dist/kept.js')), true);
});

test('outputs of an unknown build are removed', async (test) => {
  const context = contextFor(test);
  context.write('dist/unknown.js');
  await buildStep.run(context);
  assert.equal(existsSync(join(context.root, 'dist/unknown.js')), false);
});

test('after a failed build the next run builds again', async (test) => {
  const context = contextFor(test, failing('Syntax Error'));
  for (let i = 0; i < 2; i++) await assert.rejects(buildStep.run(context));
  assert.equal(context.machine.calls.length, 2);
});
