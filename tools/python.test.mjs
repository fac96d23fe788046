import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  CannotInstall,
  EXIT_CANNOT_INSTALL,
  EXIT_OK,
  EXIT_STEP_FAILED,
  EXIT_USAGE,
} from './bootstrap/failure.mjs';
import { failing, fakeMachine, fakeReporter, temporaryFolder } from './bootstrap/fake-machine.mjs';
import { ensurePython, environmentFolder, findInterpreter, main, programsOf } from './python.mjs';

const PYTHON = '/usr/bin/python3';

/** A python3 that makes folders where a real one makes environments. */
function python({ version = '3.11.2', complete = true, pip = () => '' } = {}) {
  return (args) => {
    if (args[0] === '-c') return JSON.stringify({ version, prefix: '/usr', complete });
    assert.deepEqual(args.slice(0, 2), ['-m', 'venv']);
    mkdirSync(join(args[2], 'bin'), { recursive: true });
    writeFileSync(join(args[2], 'bin', 'python'), '');
    return pip();
  };
}

/** A machine on which the environment's own python (its path is not known before) does `inside`. */
function machineWith(programs, { inside = () => '', ...more }) {
  const machine = fakeMachine(more, programs);
  const { run } = machine;
  machine.run = (file, args, options) => {
    if (!file.startsWith(machine.cacheFolder)) return run(file, args, options);
    machine.calls.push(['venv', ...args].join(' '));
    return Promise.resolve(inside(args, options));
  };
  return machine;
}

test('an environment is made once and found again', async (t) => {
  const cacheFolder = join(temporaryFolder(t), 'cache');
  const machine = machineWith({ [PYTHON]: python() }, { cacheFolder });
  const reporter = fakeReporter();
  const path = await ensurePython(machine, reporter);
  assert.match(path, /python-[0-9a-f]{16}\/bin\/python$/);
  assert.ok(existsSync(path));
  assert.equal(machine.calls.filter((call) => call.includes('-m venv')).length, 1);
  assert.equal(machine.calls.filter((call) => call.includes('pip install')).length, 1);
  assert.equal(await ensurePython(machine, reporter), path);
  assert.equal(machine.calls.filter((call) => call.includes('-m venv')).length, 1);
  assert.deepEqual(readdirSync(cacheFolder).length, 1);
});

test('other requirements or another Python have another environment', () => {
  const base = { version: '3.11.2', prefix: '/usr' };
  const folders = [
    environmentFolder('/c', 'numpy==1', base),
    environmentFolder('/c', 'numpy==2', base),
    environmentFolder('/c', 'numpy==1', { ...base, version: '3.12.0' }),
    environmentFolder('/c', 'numpy==1', { ...base, prefix: '/opt' }),
  ];
  assert.equal(new Set(folders).size, 4);
  assert.equal(environmentFolder('/c', 'numpy==1', { ...base }), folders[0]);
});

test('a failed installation leaves nothing behind', async (t) => {
  const cacheFolder = temporaryFolder(t);
  const machine = machineWith({ [PYTHON]: python() }, { cacheFolder, inside: failing('no such package') });
  await assert.rejects(ensurePython(machine, fakeReporter()), { output: 'no such package' });
  assert.deepEqual(readdirSync(cacheFolder), []);
});

test('what a killed run has left is removed', async (t) => {
  const cacheFolder = temporaryFolder(t);
  const abandoned = join(cacheFolder, 'python-0123456789abcdef.999999999.new');
  const inWork = join(cacheFolder, `python-0123456789abcdef.${process.pid}.new`);
  mkdirSync(abandoned);
  mkdirSync(inWork);
  await ensurePython(machineWith({ [PYTHON]: python() }, { cacheFolder }), fakeReporter());
  assert.ok(!existsSync(abandoned));
  assert.ok(existsSync(inWork));
});

test('without Python a person is told what to install', async (t) => {
  const machine = fakeMachine({ cacheFolder: temporaryFolder(t) });
  await assert.rejects(ensurePython(machine, fakeReporter()), (error) => {
    assert.ok(error instanceof CannotInstall);
    assert.match(error.remedy, /apt-get install python3 python3-venv python3-pip/);
    return true;
  });
});

test('a Python without venv is not enough', async (t) => {
  const machine = fakeMachine({ cacheFolder: temporaryFolder(t) }, { [PYTHON]: python({ complete: false }) });
  await assert.rejects(ensurePython(machine, fakeReporter()), /cannot make virtual environments/);
});

test('a Python that is too old or broken is no Python', async () => {
  const old = fakeMachine({}, { [PYTHON]: python({ version: '3.9.13' }) });
  assert.equal(await findInterpreter(old), undefined);
  const broken = fakeMachine({}, { [PYTHON]: failing('Illegal instruction') });
  assert.equal(await findInterpreter(broken), undefined);
  const both = fakeMachine(
    {},
    { [PYTHON]: python({ version: '3.9.13' }), '/opt/bin/python3.12': python({ version: '3.12.1' }) },
  );
  assert.equal((await findInterpreter(both)).path, '/opt/bin/python3.12');
});

test('as root on Debian it is installed', async (t) => {
  const programs = {};
  programs['/usr/bin/apt-get'] = (args) => {
    if (args[0] === 'install') programs[PYTHON] = python();
    return '';
  };
  const machine = machineWith(programs, {
    cacheFolder: temporaryFolder(t),
    isRoot: true,
    isDebian: true,
  });
  assert.match(await ensurePython(machine, fakeReporter()), /bin\/python$/);
  assert.ok(machine.calls.some((call) => call.endsWith('-- python3 python3-venv python3-pip')));
});

test('verbs', () => {
  assert.deepEqual(programsOf('path', []), []);
  assert.deepEqual(
    programsOf('check', []).map(({ name }) => name),
    ['ruff check', 'ruff format', 'mypy'],
  );
  assert.deepEqual(programsOf('test', ['-k', 'lease'])[0].args, ['-m', 'pytest', '-k', 'lease']);
  for (const words of [[undefined], ['tests'], ['check', 'x'], ['path', 'x']]) {
    assert.equal(programsOf(words[0], words.slice(1)), undefined);
  }
});

test('the exit code says what happened, standard output only what was asked', async (t) => {
  const cacheFolder = temporaryFolder(t);
  const said = [];
  const run = (words, inside) =>
    main(words, {
      machine: machineWith({ [PYTHON]: python() }, { cacheFolder, inside }),
      reporter: fakeReporter(),
      out: (text) => said.push(text),
    });
  assert.equal(await run(['path']), EXIT_OK);
  assert.match(said.join(''), /^\/.*\/bin\/python\n$/);
  assert.equal(await run(['check']), EXIT_OK);
  const oneFails = (args) => (args.includes('mypy') ? failing('1 error')() : '');
  assert.equal(await run(['check'], oneFails), EXIT_STEP_FAILED);
  assert.equal(await run(['nonsense']), EXIT_USAGE);
  const bare = { machine: fakeMachine({ cacheFolder }), reporter: fakeReporter(), out: () => {} };
  assert.equal(await main(['path'], bare), EXIT_CANNOT_INSTALL);
});
