import assert from 'node:assert/strict';
import { test } from 'node:test';
import { installPackages } from './debian-packages.mjs';
import { CommandFailure } from './commands.mjs';
import { failing, fakeMachine, fakeReporter } from './fake-machine.mjs';
import { isLikeDebian, parseRelease } from './machine.mjs';

const verbs = (machine) => machine.calls.map((call) => call.split(' ')[1]);
const options = (fresh) => ({ doing: fakeReporter().doing, listsAreFresh: () => fresh });

test('fresh lists are not fetched again, old ones are', async () => {
  for (const [fresh, expected] of [
    [true, ['install']],
    [false, ['update', 'install']],
  ]) {
    const machine = fakeMachine({}, { '/usr/bin/apt-get': () => '' });
    await installPackages(machine, ['tini'], options(fresh));
    assert.deepEqual(verbs(machine), expected);
  }
});

test('when the lists turn out to be stale they are fetched, once', async () => {
  let tries = 0;
  const flaky = (args) => (args[0] === 'install' && tries++ === 0 ? failing('404 Not Found')() : '');
  const machine = fakeMachine({}, { '/usr/bin/apt-get': flaky });
  await installPackages(machine, ['tini'], options(true));
  assert.deepEqual(verbs(machine), ['install', 'update', 'install']);

  const broken = fakeMachine({}, { '/usr/bin/apt-get': failing('E: unmet dependencies') });
  await assert.rejects(installPackages(broken, ['tini'], options(true)), CommandFailure);
});

test('Debian and what is like it are recognised', () => {
  assert.equal(isLikeDebian(parseRelease('ID=debian\nVERSION_CODENAME=bookworm\n')), true);
  assert.equal(isLikeDebian(parseRelease('ID=ubuntu\nID_LIKE="debian"\n')), true);
  assert.equal(isLikeDebian(parseRelease('ID=mint\nID_LIKE="ubuntu debian"\n')), true);
  assert.equal(isLikeDebian(parseRelease('ID=fedora\n')), false);
  assert.equal(parseRelease('PRETTY_NAME="Debian GNU/Linux 12"').PRETTY_NAME, 'Debian GNU/Linux 12');
});
