import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { EXIT_OK, EXIT_USAGE } from './failure.mjs';
import { stepsFor } from './steps.mjs';

const names = (purpose, driver) =>
  stepsFor({ purpose, driver })
    .map(({ name }) => name)
    .join(' ');

test('each purpose and driver has the steps it needs, in their order', () => {
  const images = 'docker base-image paper-image';
  assert.equal(names('start', 'docker'), `packages build nats-server ${images}`);
  assert.equal(names('start', 'process'), 'packages build nats-server python');
  assert.equal(names('test', 'docker'), `packages build nats-server ${images} python spin`);
  assert.equal(names('test', 'process'), 'packages build nats-server python spin');
  assert.equal(names('check', 'docker'), 'packages build python');
});

function bootstrap(...words) {
  const script = fileURLToPath(new URL('../bootstrap.mjs', import.meta.url));
  return new Promise((resolve) => {
    execFile(process.execPath, [script, ...words], { timeout: 30_000 }, (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, stdout, stderr });
    });
  });
}

test('--help goes to standard output, wrong usage to standard error with code 2', async () => {
  const help = await bootstrap('--help');
  assert.equal(help.code, EXIT_OK);
  assert.match(help.stdout, /^Usage: /);
  const wrong = await bootstrap('--for', 'fun');
  assert.equal(wrong.code, EXIT_USAGE);
  assert.equal(wrong.stdout, '');
  assert.match(wrong.stderr, /--for must be one of start, test, check/);
});
