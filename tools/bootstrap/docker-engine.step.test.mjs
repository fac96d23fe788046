import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dockerEngineStep, ENGINE_PACKAGES, socketCandidates } from './docker-engine.step.mjs';
import { EXIT_CANNOT_INSTALL, StepFailure } from './failure.mjs';
import { fakeMachine, fakeReporter, temporaryFolder } from './fake-machine.mjs';

const VERSION = { Version: '20.10.24', ApiVersion: '1.41', Os: 'linux' };

/** Engines by socket: a function that says whether one answers, or the code its socket fails with. */
function contextFor(test, { machine = {}, programs = {}, answers = () => 'ENOENT', version = VERSION }) {
  const connect = (socketPath) => ({
    socketPath,
    async ping() {
      const answer = answers(socketPath);
      if (answer !== true) throw new StepFailure(`ping: ${answer}`, { cause: { code: answer } });
    },
    version: async () => version,
  });
  const record = {};
  return {
    machine: fakeMachine(machine, programs),
    reporter: fakeReporter(),
    record,
    connect,
    root: temporaryFolder(test),
  };
}

const refusalOf = (context) => dockerEngineStep.run(context).then(assert.fail, (error) => error);

test('an engine that answers is used as it is', async (test) => {
  const context = contextFor(test, { answers: () => true });
  await dockerEngineStep.run(context);
  assert.deepEqual(context.record.docker, { socketPath: '/var/run/docker.sock', version: '20.10.24' });
  assert.deepEqual(context.machine.calls, []);
});

test('DOCKER_HOST names the only socket, and must be one', () => {
  const machine = { env: { DOCKER_HOST: 'unix:///x/docker.sock' }, platform: 'linux', home: '/home/a' };
  assert.deepEqual(socketCandidates(machine), ['/x/docker.sock']);
  assert.throws(
    () => socketCandidates({ ...machine, env: { DOCKER_HOST: 'tcp://10.0.0.1:2375' } }),
    /only unix/,
  );
  assert.equal(socketCandidates({ ...machine, env: {}, platform: 'darwin' }).length, 2);
});

test('root on Debian without Docker: the packages are installed, then the daemon is started', async (test) => {
  let running = false;
  const programs = {
    '/usr/bin/apt-get': ([verb]) => {
      if (verb === 'install') programs['/usr/sbin/dockerd'] = () => (running = true);
      return '';
    },
  };
  const machine = { isRoot: true, isDebian: true };
  const context = contextFor(test, { machine, programs, answers: () => running || 'ENOENT' });
  const detail = await dockerEngineStep.run(context);
  assert.match(detail, /installed from Debian and started/);
  const install = context.machine.calls.find((call) => call.includes(' install '));
  for (const name of ENGINE_PACKAGES) assert.ok(install.includes(name), name);
  assert.match(context.machine.calls.at(-1), /^\/usr\/sbin\/dockerd/);
});

test('an engine that is installed but not running is started without apt, by systemd where that runs', async (test) => {
  let running = false;
  const start = () => {
    running = true;
    return '';
  };
  const programs = { '/usr/sbin/dockerd': start, '/usr/bin/systemctl': start };
  for (const hasSystemd of [false, true]) {
    running = false;
    const context = contextFor(test, {
      machine: { isRoot: true, hasSystemd },
      programs,
      answers: () => running || 'ENOENT',
    });
    assert.match(await dockerEngineStep.run(context), /, started$/);
    assert.equal(context.machine.calls.length, 1);
    assert.match(
      context.machine.calls[0],
      hasSystemd ? /^systemctl enable --now docker/ : /^\/usr\/sbin\/dockerd/,
    );
  }
});

test('a daemon that ends at once is a failed step that names its log', async (test) => {
  const programs = { '/usr/sbin/dockerd': () => '' };
  const startDetached = () => ({ pid: 1, exitCode: () => 1 });
  const context = contextFor(test, { machine: { isRoot: true, startDetached }, programs });
  const failure = await refusalOf(context);
  assert.equal(failure.exitCode, 1);
  assert.match(failure.remedy, /dockerd\.log/);
});

const CANNOT = [
  [
    'an ordinary user on Debian',
    { isDebian: true },
    'ENOENT',
    /apt-get install docker\.io iptables ca-certificates/,
  ],
  ['an ordinary user whose engine runs', { isDebian: true }, 'EACCES', /usermod -aG docker/],
  ['root on another Linux', { isRoot: true }, 'ENOENT', /docs\.docker\.com\/engine\/install/],
  ['macOS', { platform: 'darwin' }, 'ENOENT', /colima/],
  [
    'a DOCKER_HOST without an engine',
    { isRoot: true, isDebian: true, env: { DOCKER_HOST: 'unix:///x' } },
    'ECONNREFUSED',
    /unset DOCKER_HOST/,
  ],
];
for (const [who, machine, code, remedy] of CANNOT) {
  test(`${who} is told what to do, and of --driver process`, async (test) => {
    const context = contextFor(test, { machine, answers: () => code });
    const failure = await refusalOf(context);
    assert.equal(failure.exitCode, EXIT_CANNOT_INSTALL);
    assert.match(failure.message, new RegExp(code));
    assert.match(failure.remedy, remedy);
    assert.match(failure.remedy, /--driver process/);
    assert.deepEqual(context.machine.calls, []);
  });
}

test('an engine that is too old, or runs no Linux containers, is refused', async (test) => {
  for (const difference of [{ ApiVersion: '1.40' }, { Os: 'windows' }]) {
    const context = contextFor(test, { answers: () => true, version: { ...VERSION, ...difference } });
    assert.equal((await refusalOf(context)).exitCode, EXIT_CANNOT_INSTALL);
  }
});
