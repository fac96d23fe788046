import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { contentHash, LEFT_OUT_FOLDERS, RUNTIME_EXTENSIONS, runtimeFiles } from './bot-sources.mjs';
import { temporaryFolder } from './fake-machine.mjs';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

function treeWith(context, paths) {
  const root = temporaryFolder(context);
  for (const path of paths) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), path);
  }
  return root;
}

test('only what runs goes into the image', (context) => {
  const root = treeWith(context, [
    'bot-fourni/main.py',
    'bot-fourni/paper/__init__.py',
    'bot-fourni/paper/prices.csv',
    'bot-fourni/README.md',
    'bot-fourni/pyproject.toml',
    'bot-fourni/tests/test_main.py',
    'bot-fourni/paper/tests/test_paper.py',
    'bot-fourni/__pycache__/main.cpython-311.pyc',
    'bot-fourni/.venv/lib/x.py',
    'bot-fourni/.hidden.py',
  ]);
  assert.deepEqual(
    runtimeFiles(root).map(({ path }) => path),
    ['bot-fourni/main.py', 'bot-fourni/paper/__init__.py', 'bot-fourni/paper/prices.csv'],
  );
});

test('the hash changes with a name, a content and an input, and with nothing else', () => {
  const file = (path, text) => ({ path, content: Buffer.from(text) });
  const hash = contentHash([file('a', '1'), file('b', '2')], ['x', 'y']);
  assert.match(hash, /^[0-9a-f]{12}$/);
  assert.equal(contentHash([file('a', '1'), file('b', '2')], ['x', 'y']), hash);
  const others = [
    contentHash([file('a', '1'), file('c', '2')], ['x', 'y']),
    contentHash([file('a', '1'), file('b', '3')], ['x', 'y']),
    contentHash([file('a', '1'), file('b', '2')], ['xy', '']),
    contentHash([file('a', '1')], ['x', 'y']),
  ];
  assert.equal(new Set([hash, ...others]).size, 5);
});

test('a build by hand sends the same kinds of files', () => {
  const ignore = readFileSync(join(ROOT, 'docker/paper-bot.Dockerfile.dockerignore'), 'utf8').split('\n');
  const sent = ignore
    .filter((line) => line.startsWith('!bot-fourni/**/*'))
    .map((line) => line.slice('!bot-fourni/**/*'.length));
  assert.deepEqual(sent.sort(), [...RUNTIME_EXTENSIONS].sort());
  for (const folder of LEFT_OUT_FOLDERS) assert.ok(ignore.includes(`bot-fourni/**/${folder}`), folder);
});
