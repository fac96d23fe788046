import { describe, expect, it } from '@jest/globals';
import { repositoryRoot } from '#libs/testing';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { emptyFolder } from './testing/cli.runner.js';

const launcher = readFileSync(join(repositoryRoot(), 'cli/bin/tradefleet.mjs'), 'utf8');
const built = 'console.log(JSON.stringify(process.argv.slice(2))); process.exitCode = 4;\n';

/** Runs the launcher in a checkout of its own with these files; `node_major_min` plays an older Node. */
function launch(files: Record<string, string>, options: { node_major_min?: number; pinned?: boolean } = {}) {
  const root = emptyFolder();
  const text = launcher.replace(/NODE_MAJOR_MIN = \d+/, `NODE_MAJOR_MIN = ${options.node_major_min ?? 22}`);
  for (const [path, content] of Object.entries({
    'package.json': '{"type":"module"}',
    'cli/bin/tradefleet.mjs': text,
    ...files,
  })) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  if (options.pinned === true) {
    mkdirSync(join(root, 'node_modules/node/bin'), { recursive: true });
    symlinkSync(process.execPath, join(root, 'node_modules/node/bin/node'));
  }
  const args = [join(root, 'cli/bin/tradefleet.mjs'), 'bots', 'list'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 30_000 });
  return { status, stdout, stderr };
}

describe('cli/bin/tradefleet.mjs', () => {
  it('says what to do when nothing is built', () => {
    const { status, stderr } = launch({});
    expect([status, stderr]).toEqual([3, expect.stringContaining('npm run build')]);
  });

  it('runs what is built, with its arguments and exit code', () => {
    const ran = launch({ 'dist/cli/src/main.js': built });
    expect(ran).toEqual({ status: 4, stdout: '["bots","list"]\n', stderr: '' });
  });

  it('takes the pinned Node where this one is too old', () => {
    const ran = launch({ 'dist/cli/src/main.js': built }, { node_major_min: 999, pinned: true });
    expect(ran).toEqual({ status: 4, stdout: '["bots","list"]\n', stderr: '' });
  });

  it('says how to get it where there is none', () => {
    const { status, stderr } = launch({ 'dist/cli/src/main.js': built }, { node_major_min: 999 });
    expect([status, stderr]).toEqual([3, expect.stringContaining('npm ci')]);
  });
});
