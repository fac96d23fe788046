import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { engineAt, EngineRefusal } from './engine-api.mjs';
import { StepFailure } from './failure.mjs';
import { temporaryFolder } from './fake-machine.mjs';

/** A server on a Unix socket that answers as `answer(request, body, response)` says. */
async function engineThat(context, answer) {
  const socketPath = join(temporaryFolder(context), 'docker.sock');
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    answer(request, Buffer.concat(parts), response);
  });
  server.listen(socketPath);
  await once(server, 'listening');
  context.after(() => server.closeAllConnections() ?? server.close());
  return engineAt(socketPath);
}

const lines = (...messages) => messages.map((message) => `${JSON.stringify(message)}\r\n`).join('');
const limits = { totalMs: 10_000, silenceMs: 10_000, onProgress: () => {} };

test('an engine that is not there is a failure whose cause is the socket error', async (context) => {
  const engine = engineAt(join(temporaryFolder(context), 'none.sock'));
  const failure = await engine.ping().then(assert.fail, (error) => error);
  assert.ok(failure instanceof StepFailure);
  assert.equal(failure.cause.code, 'ENOENT');
});

test('an engine that does not answer in time is a failure', async (context) => {
  const engine = await engineThat(context, () => {});
  await assert.rejects(engine.ping(50), /no answer from the Docker Engine/);
});

test('an image that is missing is undefined; slashes of its name stay slashes', async (context) => {
  const asked = [];
  const engine = await engineThat(context, (request, _body, response) => {
    asked.push(request.url);
    if (request.url.includes('debian')) response.end('{"Id":"sha256:1"}');
    else response.writeHead(404).end('{"message":"No such image"}');
  });
  assert.equal(await engine.image('tradefleet/paper-bot:src-1'), undefined);
  assert.equal((await engine.image('debian:bookworm-slim')).Id, 'sha256:1');
  assert.deepEqual(asked, [
    '/images/tradefleet/paper-bot%3Asrc-1/json',
    '/images/debian%3Abookworm-slim/json',
  ]);
});

test('a refusal carries the status and what the engine says', async (context) => {
  const engine = await engineThat(context, (_request, _body, response) => {
    response.writeHead(500).end('{"message":"disk full"}');
  });
  const refusal = await engine.version().then(assert.fail, (error) => error);
  assert.ok(refusal instanceof EngineRefusal);
  assert.equal(refusal.status, 500);
  assert.match(refusal.message, /disk full/);
});

test('a pull that fails after it began is a failure, though its status is 200', async (context) => {
  const engine = await engineThat(context, (_request, _body, response) => {
    response.end(lines({ status: 'Pulling' }, { error: 'no such host' }));
  });
  await assert.rejects(engine.pull('debian', 'x', limits), /no such host/);
});

test('a pull that falls silent ends at its limit', async (context) => {
  const engine = await engineThat(context, (_request, _body, response) =>
    response.write(lines({ status: 'Pulling' })),
  );
  await assert.rejects(engine.pull('debian', 'x', { ...limits, silenceMs: 100 }), /no answer/);
  await assert.rejects(engine.pull('debian', 'x', { ...limits, totalMs: 100 }), /took too long/);
});

test('a build sends the archive and its arguments, and a failing one shows its last lines', async (context) => {
  let seen;
  const engine = await engineThat(context, (request, body, response) => {
    seen = { query: new URL(request.url, 'http://engine').searchParams, body };
    response.end(
      lines(
        { stream: 'Step 1/2\n' },
        { stream: 'cannot fetch\n' },
        { error: 'returned a non-zero code: 100' },
      ),
    );
  });
  const build = {
    dockerfile: 'docker/x',
    tag: 'x:1',
    buildArguments: { BASE: 'y' },
    timeoutMs: 10_000,
    onProgress() {},
  };
  const failure = await engine.build(Buffer.from('tar'), build).then(assert.fail, (error) => error);
  assert.match(failure.message, /non-zero code: 100/);
  assert.equal(failure.output, 'Step 1/2\ncannot fetch');
  assert.equal(seen.body.toString(), 'tar');
  assert.deepEqual(JSON.parse(seen.query.get('buildargs')), { BASE: 'y' });
  assert.equal(seen.query.get('networkmode'), null);
});

test('an import streams the tree', async (context) => {
  let received = '';
  const engine = await engineThat(context, (_request, body, response) => {
    received = body.toString();
    response.end(lines({ status: 'sha256:1' }));
  });
  const image = {
    repository: 'debian',
    tag: 'x',
    changes: ['CMD ["bash"]'],
    message: 'made',
    timeoutMs: 10_000,
  };
  await engine.importImage(Readable.from(['a', 'b']), image);
  assert.equal(received, 'ab');
});
