import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { checkDocuments } from './check-documents.mjs';

const contributing = [
  '# Contributing',
  '## Where do I change X',
  '| what | where |',
  '| --- | --- |',
  '| a subject | `libs/contracts/subjects.ts` |',
  '',
].join('\n');

/** A checkout of these files; CONTRIBUTING and what it names are there already. */
function tree(files) {
  const root = mkdtempSync(join(tmpdir(), 'tradefleet-documents-'));
  const all = { 'CONTRIBUTING.md': contributing, 'libs/contracts/subjects.ts': '', ...files };
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

function faultsOf(files) {
  const root = tree(files);
  try {
    return checkDocuments(root).map(({ path, line, message }) => `${path}:${line}: ${message}`);
  } finally {
    rmSync(root, { recursive: true });
  }
}

test('a tree in which everything is there has no faults', () => {
  const files = {
    'README.md':
      '# A\n\n[b](docs/b.md), [part](docs/b.md#the-part-of-b), [web](https://example.org/x), `services/x/src/<y>.ts`\n',
    'docs/b.md': '# B\n\n## The `part` of B\n\n[up](../README.md) [here](#the-part-of-b) `libs/contracts`\n',
    'docs/adr/README.md': '# Decisions\n',
    'docs/adr/0001-a.md': '# 0001: A\n',
  };
  assert.deepEqual(faultsOf(files), []);
});

test('links that lead nowhere are told with file and line', () => {
  const files = {
    'docs/b.md': 'x\n\n[a](c.md)\n[b](../../out.md)\n[c]: d/e.md\n[d](#none)\n',
  };
  assert.deepEqual(faultsOf(files), [
    'docs/b.md:3: links to c.md, which is not there',
    'docs/b.md:4: links to ../../out.md, outside of the checkout',
    'docs/b.md:5: links to d/e.md, which is not there',
    'docs/b.md:6: links to #none, but there is no such heading',
  ]);
});

test('paths in backticks must exist; code blocks and patterns are left alone', () => {
  const files = {
    'README.md':
      '`services/none.ts` `libs/*/src` `libs/contracts/subjects.ts:12`\n\n```sh\ncat `services/none.ts` [x](y.md)\n```\n',
  };
  assert.deepEqual(faultsOf(files), ['README.md:1: names services/none.ts, which is not there']);
});

test('places on one machine are not named, not even in code', () => {
  const files = {
    'README.md': 'In /home/me/tradefleet\n\n```sh\ncd /Users/you/x\n```\n/run/tradefleet is fine\n',
  };
  assert.deepEqual(faultsOf(files), [
    'README.md:1: names a place on one machine: /home/me',
    'README.md:4: names a place on one machine: /Users/you',
  ]);
});

test('the table of CONTRIBUTING is there, and each row names a path', () => {
  assert.deepEqual(faultsOf({ 'CONTRIBUTING.md': '# C\n' }), [
    'CONTRIBUTING.md:1: has no section "Where do I change"',
  ]);
  assert.deepEqual(
    faultsOf({ 'CONTRIBUTING.md': `${contributing}\n`.replace('`libs/contracts/subjects.ts`', 'somewhere') }),
    ['CONTRIBUTING.md:5: the row names no path in backticks'],
  );
  assert.deepEqual(faultsOf({ 'CONTRIBUTING.md': contributing.replace('subjects.ts', 'none.ts') }), [
    'CONTRIBUTING.md:5: names libs/contracts/none.ts, which is not there',
  ]);
});

test('decisions are numbered without gaps and titled by their number', () => {
  const files = { 'docs/adr/0001-a.md': '# 0001: A\n', 'docs/adr/0003-c.md': '# 0003: C\n' };
  assert.deepEqual(faultsOf(files), ['docs/adr/0003-c.md:1: should be numbered 0002: 0002-<words>.md']);
  assert.deepEqual(faultsOf({ 'docs/adr/0001-a.md': '# A\n' }), [
    'docs/adr/0001-a.md:1: should begin with "# 0001: "',
  ]);
});
