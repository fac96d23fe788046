import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { EXIT_CANNOT_INSTALL } from './failure.mjs';
import { failing, fakeMachine, fakeReporter, temporaryFolder } from './fake-machine.mjs';
import { ARCHIVE_VERSION, releaseArchive } from './nats-archives.mjs';
import { GO_VERSION, natsServerStep } from './nats-server.step.mjs';

const says = (text) => () => text;
/** A platform without a release archive, so that no test can reach for the network. */
const NO_ARCHIVE = { arch: 's390x' };

function contextFor(machine, programs) {
  return {
    machine: fakeMachine({ ...NO_ARCHIVE, ...machine }, programs),
    reporter: fakeReporter(),
    record: {},
  };
}

/** A Go toolchain whose `install` leaves a program that says `version`. */
function goThat(programs, version) {
  return ([verb], { env }) => {
    if (verb === 'env') return 'go1.26.8\n';
    writeFileSync(join(env.GOBIN, 'nats-server'), '');
    programs[join(env.GOBIN, 'nats-server')] = says(`nats-server: v${version}\n`);
    return '';
  };
}

test('one on PATH that is new enough is used', async () => {
  const context = contextFor({}, { '/usr/bin/nats-server': says('nats-server: v2.12.4\n') });
  await natsServerStep.run(context);
  assert.deepEqual(context.record.natsServer, { path: '/usr/bin/nats-server', version: '2.12.4' });
});

test('one in the cache is used without starting any program, also when PATH has an old one', async () => {
  const cached = `/nowhere/tradefleet/nats-server-v${GO_VERSION}/nats-server`;
  const context = contextFor({ which: says(undefined) }, { [cached]: failing('must not run') });
  await natsServerStep.run(context);
  assert.equal(context.record.natsServer.path, cached);
  assert.deepEqual(context.machine.calls, []);

  const older = contextFor(
    {},
    { '/usr/bin/nats-server': says('nats-server: v2.9.10\n'), [cached]: says('') },
  );
  await natsServerStep.run(older);
  assert.equal(older.record.natsServer.path, cached);
});

test('the Go toolchain compiles one into the cache, and nothing else is left there', async (test) => {
  const cacheFolder = temporaryFolder(test);
  const programs = {};
  programs['/usr/bin/go'] = goThat(programs, GO_VERSION);
  const context = contextFor({ cacheFolder }, programs);
  await natsServerStep.run(context);
  assert.equal(
    context.record.natsServer.path,
    join(cacheFolder, `nats-server-v${GO_VERSION}`, 'nats-server'),
  );
  assert.ok(existsSync(context.record.natsServer.path));
  assert.deepEqual(readdirSync(cacheFolder), [`nats-server-v${GO_VERSION}`]);
});

test('a program that says another version never reaches the cache', async (test) => {
  const cacheFolder = temporaryFolder(test);
  const programs = {};
  programs['/usr/bin/go'] = goThat(programs, '2.0.0');
  const failure = await natsServerStep
    .run(contextFor({ cacheFolder }, programs))
    .then(assert.fail, (error) => error);
  assert.match(failure.message, /says it is 2\.0\.0/);
  assert.deepEqual(readdirSync(cacheFolder), []);
});

test('without any source the error lists what was tried and what to install', async (test) => {
  const programs = { '/usr/bin/go': says('go1.24.1\n') };
  const context = contextFor({ cacheFolder: temporaryFolder(test) }, programs);
  const failure = await natsServerStep.run(context).then(assert.fail, (error) => error);
  assert.equal(failure.exitCode, EXIT_CANNOT_INSTALL);
  assert.match(failure.message, /1\.24\.1 is older than 1\.25\.0/);
  assert.match(failure.message, /none with a checked SHA-256 for linux s390x/);
  assert.match(failure.message, /only as root on Debian/);
  assert.match(failure.remedy, /nats-server 2\.12\.0 or newer/);
});

test('root on Debian gets the package as a last resort, with a warning when it is old', async (test) => {
  const programs = {
    '/usr/bin/apt-get': ([verb]) => {
      if (verb === 'install') programs['/usr/sbin/nats-server'] = says('nats-server: v2.9.10\n');
      return '';
    },
  };
  const machine = { isRoot: true, isDebian: true, cacheFolder: temporaryFolder(test) };
  const context = contextFor(machine, programs);
  await natsServerStep.run(context);
  assert.equal(context.record.natsServer.version, '2.9.10');
  assert.ok(
    context.reporter.said.some((text) => text.startsWith('!') && text.includes('not for production')),
  );
});

test('every platform has its own archive and sum', () => {
  const archives = [
    ['linux', 'x64'],
    ['linux', 'arm64'],
    ['darwin', 'x64'],
    ['darwin', 'arm64'],
  ].map((each) => releaseArchive(...each));
  for (const { url, sha256, member } of archives) {
    assert.match(sha256, /^[0-9a-f]{64}$/);
    assert.ok(
      url.startsWith(`https://github.com/nats-io/nats-server/releases/download/v${ARCHIVE_VERSION}/`),
    );
    assert.equal(member, `${url.split('/').at(-1).replace('.tar.gz', '')}/nats-server`);
  }
  assert.equal(new Set(archives.map(({ sha256 }) => sha256)).size, 4);
  assert.equal(releaseArchive('win32', 'x64'), undefined);
  assert.equal(releaseArchive('linux', 'ia32'), undefined);
});

test('a cached program from the archive is found as well', async (test) => {
  const cacheFolder = temporaryFolder(test);
  const cached = join(cacheFolder, `nats-server-v${ARCHIVE_VERSION}`, 'nats-server');
  mkdirSync(dirname(cached));
  const context = contextFor({ cacheFolder, which: says(undefined) }, { [cached]: says('') });
  await natsServerStep.run(context);
  assert.deepEqual(context.record.natsServer, { path: cached, version: ARCHIVE_VERSION });
});
