import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXIT_CANNOT_INSTALL } from './failure.mjs';
import { failing, fakeMachine, fakeReporter } from './fake-machine.mjs';
import { spinStep } from './spin.step.mjs';

const SPIN = '/usr/bin/spin';
const CC = '/usr/bin/cc';
const APT = '/usr/bin/apt-get';
const spin = () => 'Spin Version 6.5.2 -- 6 December 2019\n';
const run = (machine) => spinStep.run({ machine, reporter: fakeReporter() });

test('what is there is used', async () => {
  const machine = fakeMachine({}, { [SPIN]: spin, [CC]: () => '' });
  assert.equal(await run(machine), `6.5.2 at ${SPIN}, ${CC}`);
  assert.deepEqual(machine.calls, [`${SPIN} -V`]);
});

test('root on Debian gets the packages', async () => {
  for (const there of [{}, { [SPIN]: spin }, { [CC]: () => '' }]) {
    const programs = {
      ...there,
      [APT]: (args) => {
        if (args[0] === 'install') Object.assign(programs, { [SPIN]: spin, [CC]: () => '' });
        return '';
      },
    };
    const machine = fakeMachine({ isRoot: true, isDebian: true }, programs);
    assert.match(await run(machine), /installed from Debian$/);
    assert.ok(machine.calls.some((call) => call.endsWith('-- spin gcc libc6-dev')));
  }
});

test('who cannot install is told what to install', async () => {
  for (const [machine, missing] of [
    [fakeMachine({}, {}), /spin and a C compiler not found/],
    [fakeMachine({}, { [SPIN]: spin }), /: a C compiler not found/],
    [fakeMachine({ isRoot: true }, { [CC]: () => '' }), /: spin not found/],
    [fakeMachine({}, { [SPIN]: () => 'Spin Version 5.2.0', [CC]: () => '' }), /5\.2\.0, too old/],
  ]) {
    await assert.rejects(run(machine), (error) => {
      assert.match(error.message, missing);
      assert.match(error.remedy, /apt-get install spin gcc libc6-dev/);
      assert.equal(error.exitCode, EXIT_CANNOT_INSTALL);
      return true;
    });
  }
});

test('a failing installation is a failed step', async () => {
  const machine = fakeMachine({ isRoot: true, isDebian: true }, { [APT]: failing('no such package') });
  await assert.rejects(run(machine), { output: 'no such package' });
});
