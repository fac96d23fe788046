import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { testDocker, waitFor } from '#libs/testing';
import { createServer, request } from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { aTask } from '../contract/task.builder.js';
import { NotedLog } from '../contract/driver.harness.js';
import { DockerDriver } from './docker.driver.js';
import { DockerEngine } from './docker.engine.js';
import { EngineProxy, type Verdict } from './engine.proxy.js';
import { OpaqueAgent } from './opaque-agent.js';

const timeouts = { look_ms: 300, change_ms: 300, pull_ms: 300 };
const fault = (name: string): unknown =>
  expect.objectContaining({ name: 'DriverError', fault: name, retry: true });

describe('an engine that is not there', () => {
  it('is a fault at once', async () => {
    const engine = new DockerEngine('/nowhere/docker.sock');
    await expect(engine.version()).rejects.toEqual(fault('engine-unavailable'));
    await expect(engine.awaitExit('x', 'not-running', 1000)).rejects.toEqual(fault('engine-unavailable'));
  });
});

describe('an engine that was started again', () => {
  // As Engine 20.10 answers; every engine says the labels when it is looked at.
  it('is asked for the labels of a volume when it leaves them out', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tradefleet-engine-'));
    const socketPath = join(folder, 'docker.sock');
    const server = createServer((asked, answer) => {
      const labels = asked.url?.endsWith('/volumes/one') === true ? { a: 'b' } : null;
      answer.setHeader('content-type', 'application/json');
      answer.end(JSON.stringify({ Name: 'one', Labels: labels }));
    });
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
    try {
      expect(await new DockerEngine(socketPath).volume('one', { a: 'b' })).toMatchObject({
        Labels: { a: 'b' },
      });
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('an engine that never answers', () => {
  let proxy: EngineProxy;
  beforeAll(async () => {
    proxy = await EngineProxy.start(null);
  });
  afterAll(() => proxy.stop());

  it('fails every call of the driver in its time, each by itself', async () => {
    const images = { paper: 'tradefleet/paper-bot:src-1' };
    const options = { fleet: 'fleet', host: 'host', socketPath: proxy.socketPath, images, timeouts };
    const driver = new DockerDriver(options, new NotedLog());
    const task = aTask({ host: 'host' });
    const { allocation, account, bot, tenant, epoch, runtime } = task;
    const handle = { id: 'abc', allocation, account, bot, tenant, epoch, runtime };
    const calls: Promise<unknown>[] = [
      driver.fingerprint(),
      ...(['image', 'network', 'volume', 'create'] as const).map((step) => driver.prepare(step, task)),
      driver.start(task),
      driver.recover(),
      driver.stop(handle, 0),
      driver.kill(handle),
      driver.destroy(handle),
      driver.discard(task),
      driver.sweep(new Set()),
      driver.inspect(handle),
      driver.stats(handle),
      driver.logs(handle, 10),
    ];
    const outcomes = await Promise.allSettled(calls);
    expect(
      outcomes.map((outcome) => (outcome.status === 'rejected' ? (outcome.reason as unknown) : 'answered')),
    ).toEqual(calls.map(() => fault('engine-timeout')));
    await driver.close();
  });

  it('lets a caller give up', async () => {
    const engine = new DockerEngine(proxy.socketPath);
    const controller = new AbortController();
    const asking = engine.container('x', controller.signal);
    controller.abort(new Error('enough'));
    await expect(asking).rejects.toThrow('enough');
  });

  it('shows nothing of the calls under way to a client library that prints its options', async () => {
    const agent = new OpaqueAgent();
    const call = request({ socketPath: proxy.socketPath, path: '/info', agent });
    const ended = new Promise((resolve) => call.on('error', resolve));
    call.end();
    await waitFor(() => Object.keys(agent.sockets).length > 0);
    const printed = inspect(
      { agent, signal: AbortSignal.timeout(60_000) },
      { showHidden: true, depth: null },
    );
    expect(printed).toContain('OpaqueAgent');
    expect(printed.length).toBeLessThan(200);
    call.destroy();
    await ended;
  });

  it('lets go of all calls when closed', async () => {
    const engine = new DockerEngine(proxy.socketPath);
    const asking = expect(engine.version()).rejects.toEqual(fault('engine-unavailable'));
    engine.close();
    await asking;
    await expect(engine.version()).rejects.toEqual(fault('engine-unavailable'));
  });
});

describe('an engine that fails some calls', () => {
  let proxy: EngineProxy;
  beforeAll(async () => {
    proxy = await EngineProxy.start(testDocker().socketPath);
  });
  afterEach(() => {
    proxy.judge = () => 'pass';
  });
  afterAll(() => proxy.stop());

  it('does not hold up one call by another that hangs', async () => {
    const engine = new DockerEngine(proxy.socketPath);
    proxy.judge = (_, path): Verdict => (path.startsWith('/containers/hangs') ? 'swallow' : 'pass');
    const controller = new AbortController();
    const hanging = Array.from({ length: 50 }, () => engine.container('hangs', controller.signal));
    const refused = Promise.all(hanging.map((call) => expect(call).rejects.toThrow('enough')));
    expect(await engine.container('not-there')).toBeNull();
    expect((await engine.version()).ApiVersion).toMatch(/^1\.\d+$/);
    controller.abort(new Error('enough'));
    await refused;
  });

  it('notices that the connection breaks in the middle of an answer', async () => {
    const engine = new DockerEngine(proxy.socketPath);
    proxy.judge = (): Verdict => 'break';
    await expect(engine.info()).rejects.toEqual(fault('engine-unavailable'));
    await expect(engine.networks()).rejects.toEqual(fault('engine-unavailable'));
  });

  it('never pins the API version', async () => {
    const engine = new DockerEngine(proxy.socketPath);
    proxy.requests.length = 0;
    await engine.info();
    await engine.containers({ label: ['io.tradefleet.host=nobody'] });
    expect(proxy.requests).toHaveLength(2);
    for (const request of proxy.requests) expect(request).not.toMatch(/ \/v1\./);
  });
});
