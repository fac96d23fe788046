/** For tests: a machine whose programs are functions, and a reporter that only remembers. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CommandFailure } from './commands.mjs';

/**
 * @param {object} [differences] what is special about this machine
 * @param {Record<string, (args: string[], options: object) => string | Promise<string>>} [programs]
 *   by absolute path; one that is missing does not exist on the machine
 */
export function fakeMachine(differences = {}, programs = {}) {
  const calls = [];
  const find = (name) => Object.keys(programs).find((path) => path.endsWith(`/${name}`));
  return {
    env: { PATH: '/usr/bin' },
    platform: 'linux',
    arch: 'x64',
    isRoot: false,
    isDebian: false,
    codename: '',
    release: {},
    hasSystemd: false,
    cacheFolder: '/nowhere/tradefleet',
    home: '/home/somebody',
    exists: (path) => path in programs,
    isExecutable: (path) => path in programs,
    which: find,
    whichIn: find,
    calls,
    async run(file, args, options) {
      calls.push([file, ...args].join(' '));
      const program = programs[file] ?? programs[find(file) ?? ''];
      if (!program) throw new CommandFailure(`${file} could not be started`, { code: 127 });
      return program(args, options);
    },
    startDetached(file, args) {
      calls.push([file, ...args].join(' '));
      programs[file]?.(args, {});
      return { pid: 1, exitCode: () => null };
    },
    ...differences,
  };
}

export function fakeReporter() {
  const said = [];
  const say = (text) => said.push(text);
  return {
    said,
    doing: say,
    progress: () => {},
    warn: (text) => said.push(`! ${text}`),
    begin: say,
    end: say,
    line: say,
  };
}

/** A program that fails as a real one does. @param {string} output */
export function failing(output) {
  return () => {
    throw new CommandFailure('it ended with code 1', { code: 1, output });
  };
}

/** A temporary folder that is removed after the test. @param {import('node:test').TestContext} test */
export function temporaryFolder(test) {
  const folder = mkdtempSync(join(tmpdir(), 'tradefleet-bootstrap-'));
  test.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
