import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { BASE_IMAGE, baseImageStep } from './base-image.step.mjs';
import { EngineRefusal } from './engine-api.mjs';
import { EXIT_CANNOT_INSTALL, StepFailure } from './failure.mjs';
import { failing, fakeMachine, fakeReporter, temporaryFolder } from './fake-machine.mjs';
import { paperImageStep, removeOld } from './paper-image.step.mjs';

/** An engine that keeps images in memory. */
function fakeEngine({ pulls = false } = {}) {
  const images = new Map();
  const add = (reference, more = {}) =>
    images.set(reference, { Id: `id of ${reference}`, RepoTags: [reference], Created: images.size, ...more });
  return {
    images,
    add,
    builds: [],
    used: new Set(),
    image: async (reference) => images.get(reference),
    imagesOf: async (repository) =>
      [...images.values()].filter(({ RepoTags: [tag] }) => tag.startsWith(`${repository}:`)),
    async containersOf(id) {
      return this.used.has(id) ? [{}] : [];
    },
    async removeImage(reference) {
      if (reference.endsWith('raced')) throw new EngineRefusal('conflict', { status: 409 });
      images.delete(reference);
    },
    async pull(repository, tag) {
      if (!pulls) throw new StepFailure('no such host');
      add(`${repository}:${tag}`);
    },
    async importImage(_tree, { repository, tag }) {
      add(`${repository}:${tag}`);
    },
    async build(_tar, build) {
      this.builds.push(build);
      add(build.tag);
    },
  };
}

function contextFor(engine, machine = {}, programs = {}) {
  return { engine, machine: fakeMachine(machine, programs), reporter: fakeReporter(), record: {} };
}

const mmdebstrap = async (_args, { onStdout }) => {
  await onStdout(undefined);
  return '';
};

test('a base image that is there is used; one that is not is pulled', async () => {
  const engine = fakeEngine({ pulls: true });
  assert.match(await baseImageStep.run(contextFor(engine)), /pulled$/);
  assert.match(await baseImageStep.run(contextFor(engine)), /present$/);
});

test('root on Debian without a registry makes the base image; mmdebstrap is installed when missing', async () => {
  const programs = {
    '/usr/bin/apt-get': () => {
      programs['/usr/bin/mmdebstrap'] = mmdebstrap;
      return '';
    },
    '/usr/bin/apt-config': () => "PROXY='http://proxy.test:3128'\n",
  };
  const context = contextFor(fakeEngine(), { isRoot: true, isDebian: true }, programs);
  assert.match(await baseImageStep.run(context), /made with mmdebstrap/);
  assert.equal(context.baseImageId, `id of ${BASE_IMAGE}`);
});

test('elsewhere, a registry out of reach is explained', async () => {
  const failure = await baseImageStep.run(contextFor(fakeEngine())).then(assert.fail, (error) => error);
  assert.equal(failure.exitCode, EXIT_CANNOT_INSTALL);
  assert.match(failure.message, /no such host/);
  assert.match(failure.remedy, /docker pull/);
});

test('an mmdebstrap that fails is a failed step', async () => {
  const programs = { '/usr/bin/mmdebstrap': failing('E: cannot fetch') };
  const failure = await baseImageStep
    .run(contextFor(fakeEngine(), { isRoot: true, isDebian: true }, programs))
    .then(assert.fail, (error) => error);
  assert.equal(failure.output, 'E: cannot fetch');
});

function treeFor(test) {
  const root = temporaryFolder(test);
  const write = (path, text) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  write('docker/paper-bot.Dockerfile', 'FROM x');
  write('bot-fourni/supervisor.py', 'pass');
  return { root, write };
}

test('the paper image is built once for each content and base', async (test) => {
  const { root, write } = treeFor(test);
  const engine = fakeEngine();
  const step = async (baseImageId) => {
    const context = { ...contextFor(engine), root, baseImageId };
    await paperImageStep.run(context);
    return context.record.images.paper.ref;
  };
  const first = await step('base 1');
  assert.match(first, /^tradefleet\/paper-bot:src-[0-9a-f]{12}$/);
  assert.equal(await step('base 1'), first);
  assert.notEqual(await step('base 2'), first);
  write('bot-fourni/tests/test_x.py', 'pass');
  assert.equal(await step('base 1'), first);
  write('bot-fourni/main.py', 'pass');
  assert.notEqual(await step('base 1'), first);
  assert.equal(engine.builds.length, 3);
});

test('a proxy is handed to the build, in the network of the machine when it listens there', async (test) => {
  const { root } = treeFor(test);
  for (const [proxy, networkMode] of [
    ['http://127.0.0.1:3128', 'host'],
    ['http://proxy.test:3128', undefined],
  ]) {
    const engine = fakeEngine();
    const context = { ...contextFor(engine, { env: { http_proxy: proxy } }), root, baseImageId: 'base' };
    await paperImageStep.run(context);
    assert.equal(engine.builds[0].buildArguments.http_proxy, proxy);
    assert.equal(engine.builds[0].networkMode, networkMode);
  }
});

test('a tree without the bot is a failed step', async (test) => {
  const context = { ...contextFor(fakeEngine()), root: temporaryFolder(test), baseImageId: 'base' };
  await assert.rejects(paperImageStep.run(context), /supervisor\.py is missing/);
});

test('of the paper images the newest three, used ones and other names stay', async () => {
  const engine = fakeEngine();
  const names = ['current', 'used', 'raced', 'oldest', 'third', 'second', 'newest'];
  for (const name of names) engine.add(`tradefleet/paper-bot:src-${name}`);
  engine.add('tradefleet/paper-bot:mine', { Created: -1 });
  engine.add('tradefleet/other:src-1', { Created: -1 });
  engine.used.add('id of tradefleet/paper-bot:src-used');
  await removeOld(engine, 'tradefleet/paper-bot:src-current');
  const left = [...engine.images.keys()].map((reference) => reference.replace(/^.*:(src-)?/, ''));
  assert.deepEqual(left.sort(), ['1', 'current', 'mine', 'newest', 'raced', 'second', 'third', 'used']);
});
