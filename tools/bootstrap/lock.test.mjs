import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { StepFailure } from './failure.mjs';
import { temporaryFolder } from './fake-machine.mjs';
import { holderIsAlive, takeLock } from './lock.mjs';

const MODULE = new URL('lock.mjs', import.meta.url).href;
const quiet = () => {};

test('the lock is given back, and can be taken again', async (context) => {
  const path = join(temporaryFolder(context), 'state', 'lock');
  for (let i = 0; i < 3; i++) {
    const giveBack = await takeLock(path, { onWait: quiet });
    assert.equal(existsSync(path), true);
    giveBack();
    assert.equal(existsSync(path), false);
  }
});

test('while it is held a second one waits, says for whom, and gives up in the end', async (context) => {
  const path = join(temporaryFolder(context), 'lock');
  const giveBack = await takeLock(path, { onWait: quiet });
  const waits = [];
  const second = takeLock(path, { onWait: (pid) => waits.push(pid), waitMs: 300 });
  await assert.rejects(second, StepFailure);
  assert.deepEqual(waits, [process.pid]);
  giveBack();
});

test('a lock whose holder has died is taken over', async (context) => {
  const path = join(temporaryFolder(context), 'lock');
  const dead = spawn(process.execPath, ['-e', '']);
  await once(dead, 'exit');
  writeFileSync(path, JSON.stringify({ pid: dead.pid, started: '1' }));
  const giveBack = await takeLock(path, { onWait: quiet, waitMs: 5_000 });
  assert.equal(JSON.parse(readFileSync(path, 'utf8')).pid, process.pid);
  giveBack();
});

test('an unreadable lock counts as dead once it is old', async (context) => {
  const path = join(temporaryFolder(context), 'lock');
  writeFileSync(path, '');
  await assert.rejects(takeLock(path, { onWait: quiet, waitMs: 0 }), StepFailure);
  utimesSync(path, 1, 1);
  (await takeLock(path, { onWait: quiet, waitMs: 5_000 }))();
});

test('a pid that was used again is not its former process', { skip: process.platform !== 'linux' }, () => {
  assert.equal(holderIsAlive({ pid: process.pid, started: '' }), true);
  assert.equal(holderIsAlive({ pid: process.pid, started: '1' }), false);
});

test('many processes that find a dead lock hold it one at a time', async (context) => {
  const folder = temporaryFolder(context);
  const path = join(folder, 'lock');
  const log = join(folder, 'log');
  writeFileSync(path, JSON.stringify({ pid: 2 ** 22 + 1, started: '1' }));
  const script = `
    import { appendFileSync } from 'node:fs';
    import { setTimeout } from 'node:timers/promises';
    const { takeLock } = await import(${JSON.stringify(MODULE)});
    const giveBack = await takeLock(${JSON.stringify(path)}, { onWait() {}, waitMs: 60000 });
    appendFileSync(${JSON.stringify(log)}, 'in\\n');
    await setTimeout(10);
    appendFileSync(${JSON.stringify(log)}, 'out\\n');
    giveBack();`;
  const children = Array.from({ length: 6 }, () =>
    spawn(process.execPath, ['--input-type=module', '-e', script]),
  );
  const codes = await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0]));
  assert.deepEqual(codes, [0, 0, 0, 0, 0, 0]);
  assert.equal(readFileSync(log, 'utf8'), 'in\nout\n'.repeat(6));
});
