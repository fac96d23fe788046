import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { download } from './downloads.mjs';
import { StepFailure } from './failure.mjs';
import { fakeMachine, temporaryFolder } from './fake-machine.mjs';

const CONTENT = 'an archive';
const SHA256 = createHash('sha256').update(CONTENT).digest('hex');

async function served(context, status = 200) {
  const server = createServer((_request, response) => response.writeHead(status).end(CONTENT));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  const to = join(temporaryFolder(context), 'file');
  return { url: `http://127.0.0.1:${server.address().port}/x`, to, sha256: SHA256, progress: () => {} };
}

test('a file with the pinned sum is kept', async (context) => {
  const wanted = await served(context);
  await download(fakeMachine(), wanted);
  assert.equal(readFileSync(wanted.to, 'utf8'), CONTENT);
});

test('a file with another sum is refused', async (context) => {
  const wanted = await served(context);
  await assert.rejects(download(fakeMachine(), { ...wanted, sha256: '0'.repeat(64) }), /was not used/);
});

test('an error status and a server out of reach are failures of the step', async (context) => {
  await assert.rejects(download(fakeMachine(), await served(context, 404)), /answered 404/);
  const nobody = { ...(await served(context)), url: 'http://127.0.0.1:1/x' };
  await assert.rejects(download(fakeMachine(), nobody), StepFailure);
});

test('behind a proxy curl downloads, and the sum is checked all the same', async (context) => {
  const wanted = await served(context);
  const machine = fakeMachine({ env: { https_proxy: 'http://proxy.test' } }, { '/usr/bin/curl': () => '' });
  await assert.rejects(download(machine, wanted), /ENOENT/);
  assert.match(machine.calls[0], /^\/usr\/bin\/curl .*--fail/);
});
