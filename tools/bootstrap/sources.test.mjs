import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { buildInputs, outputsOfRemoved } from './sources.mjs';
import { temporaryFolder } from './fake-machine.mjs';

function project(context) {
  const root = temporaryFolder(context);
  const write = (path, text) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const described = (folder, type, entryFile) => ({
    type,
    root: folder,
    sourceRoot: `${folder}/src`,
    entryFile,
  });
  const projects = {
    api: described('services/api', 'application', 'main'),
    later: described('services/later', 'application', 'main'),
    lib: described('libs/lib', 'library', 'index'),
  };
  write('nest-cli.json', JSON.stringify({ projects }));
  write('services/api/src/main.ts', 'main');
  write('services/api/src/main.spec.ts', 'spec');
  write('services/api/tsconfig.json', '{}');
  write('libs/lib/src/index.ts', 'index');
  write('e2e/scenario.ts', 'not built');
  return { root, write };
}

test('the sources of every project count, its specs do not', (context) => {
  const { root } = project(context);
  const { sources, entries } = buildInputs(root);
  assert.deepEqual(sources, ['libs/lib/src/index.ts', 'services/api/src/main.ts']);
  assert.deepEqual(entries, ['dist/services/api/src/main.js']);
});

test('the hash follows sources, configuration and names, and nothing else', (context) => {
  const { root, write } = project(context);
  const hashes = [buildInputs(root).hash];
  const changes = [
    () => write('libs/lib/src/index.ts', 'changed'),
    () => write('services/api/tsconfig.json', '{"a":1}'),
    () => write('.swcrc', '{}'),
    () => write('libs/lib/src/more.ts', ''),
    () => rmSync(join(root, 'libs/lib/src/more.ts')),
  ];
  for (const change of changes) {
    change();
    hashes.push(buildInputs(root).hash);
  }
  assert.equal(new Set(hashes).size, hashes.length - 1);
  assert.equal(hashes.at(-1), hashes.at(-3));

  write('services/api/src/main.spec.ts', 'another spec');
  write('README.md', 'text');
  assert.equal(buildInputs(root).hash, hashes.at(-1));
});

test('what is left of removed sources is named', () => {
  assert.deepEqual(outputsOfRemoved(['libs/a.ts', 'libs/b.ts'], ['libs/b.ts', 'libs/c.ts']), [
    'dist/libs/a.js',
    'dist/libs/a.js.map',
    'dist/libs/a.d.ts',
  ]);
});
