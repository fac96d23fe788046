import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CommandFailure, LastLines, run, which } from './commands.mjs';
import { StepFailure } from './failure.mjs';
import { temporaryFolder } from './fake-machine.mjs';

const node = (script, options = {}) =>
  run(process.execPath, ['-e', script], { timeoutMs: 30_000, ...options });

test('standard output is returned and each line is heard', async () => {
  const heard = [];
  const output = await node('console.log("a"); console.error("b"); console.log("c")', {
    onLine: (line) => heard.push(line),
  });
  assert.equal(output, 'a\nc\n');
  assert.deepEqual(heard.sort(), ['a', 'b', 'c']);
});

test('a failure has the code, the last 40 lines and the remedy', async () => {
  const script = 'for (let i = 0; i < 100; i++) console.error("line " + i); process.exitCode = 3';
  const failure = await node(script, { remedy: 'try again' }).then(assert.fail, (error) => error);
  assert.ok(failure instanceof CommandFailure);
  assert.equal(failure.code, 3);
  assert.equal(failure.remedy, 'try again');
  const lines = failure.output.split('\n');
  assert.equal(lines.length, 40);
  assert.equal(lines.at(-1), 'line 99');
});

test('a program that cannot be started fails as a step does', async () => {
  await assert.rejects(run('/nowhere/program', [], { timeoutMs: 1_000 }), StepFailure);
});

test('a timeout ends the program and what it started', async (context) => {
  const pidFile = join(temporaryFolder(context), 'pid');
  const grandchild = 'setInterval(() => {}, 1000)';
  const script = `
    const { pid } = require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(grandchild)}]);
    require("node:fs").writeFileSync(${JSON.stringify(pidFile)}, String(pid));
    setInterval(() => {}, 1000);`;
  await assert.rejects(node(script, { timeoutMs: 1_500 }), /did not end within 2 s/);
  const pid = Number(readFileSync(pidFile, 'utf8'));
  // It is dead, or a zombie of a machine whose first process does not reap.
  assert.match(stateOf(pid), /^(gone|Z)$/);
});

function stateOf(pid) {
  try {
    process.kill(pid, 0);
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[0];
  } catch {
    return 'gone';
  }
}

test('standard output can be taken as a stream, and the reason of its taker comes first', async () => {
  const taken = [];
  await node('process.stdout.write("abc")', {
    onStdout: async (stream) => {
      for await (const chunk of stream) taken.push(chunk.toString());
    },
  });
  assert.equal(taken.join(''), 'abc');
  const refusal = new StepFailure('refused');
  const endless = 'setInterval(() => process.stdout.write("x"), 10)';
  await assert.rejects(node(endless, { onStdout: () => Promise.reject(refusal) }), refusal);
});

test('what is kept of an output is bounded in lines and in length', () => {
  const last = new LastLines();
  last.push(`${'x'.repeat(5_000)}\n`);
  for (let i = 0; i < 60; i++) last.push(`${i}\n`);
  last.push('rest');
  const lines = last.toString().split('\n');
  assert.equal(lines.length, 40);
  assert.equal(lines.at(-1), 'rest');
});

test('which finds programs in the order of PATH and never in the current folder', (context) => {
  const root = temporaryFolder(context);
  for (const name of ['one', 'two', 'more']) {
    mkdirSync(join(root, name));
    writeFileSync(join(root, name, 'tool'), '');
    chmodSync(join(root, name, 'tool'), name === 'one' ? 0o644 : 0o755);
  }
  const env = { PATH: [`:.:${join(root, 'one')}`, join(root, 'two')].join(':') };
  assert.equal(which('tool', env), join(root, 'two', 'tool'));
  assert.equal(which('tool', { PATH: '' }, [join(root, 'more')]), join(root, 'more', 'tool'));
  assert.equal(which('tool', {}), undefined);
});
