import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inSeconds, Reporter } from './reporter.mjs';

function reporterOn(isTTY) {
  let text = '';
  let nowMs = 0;
  const stream = { isTTY, columns: 60, write: (part) => (text += part) };
  const reporter = new Reporter(stream, { now: () => nowMs });
  return { reporter, text: () => text, pass: (ms) => (nowMs += ms) };
}

test('a step is one line with what it found and how long it took', () => {
  const { reporter, text, pass } = reporterOn(false);
  reporter.begin('build');
  reporter.doing('compiling');
  reporter.progress('file 1');
  pass(700);
  reporter.end('done', '12 sources');
  assert.equal(text(), '✓ build         12 sources (0.7 s)\n');
});

test('without a terminal a long step says once what it is doing, and nothing moves', () => {
  const { reporter, text, pass } = reporterOn(false);
  reporter.begin('build');
  pass(2_000);
  reporter.doing('compiling');
  reporter.doing('compiling');
  reporter.progress('file 1');
  reporter.end('failed', 'failed');
  assert.equal(text(), '  build         compiling ...\n✗ build         failed (2.0 s)\n');
});

test('on a terminal the moving line is wiped before the last one', () => {
  const { reporter, text } = reporterOn(true);
  reporter.begin('build');
  reporter.end('done', 'x');
  assert.equal(text(), '\r\u001b[2K✓ build         x (0.0 s)\n');
});

test('times are shown to a tenth of a second', () => assert.equal(inSeconds(61_250), '61.3 s'));
