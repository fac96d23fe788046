/** Installs the npm packages when the lock file is not the one they were installed from. */

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join, sep } from 'node:path';
import { CannotInstall } from './failure.mjs';
import { installedMatchesLock } from './installed-tree.mjs';

const LOCK = 'package-lock.json';
const STAMP = 'node_modules/.tradefleet-stamp';
const HIDDEN_LOCK = 'node_modules/.package-lock.json';
const INSTALL_TIMEOUT_MS = 15 * 60_000;

export const packagesStep = {
  name: 'packages',

  /** @returns {Promise<string>} */
  async run({ root, machine, reporter }) {
    const hasLock = existsSync(join(root, LOCK));
    const wanted = lockHash(root, machine);
    if (readIfThere(join(root, STAMP)) === wanted) return 'as in the lock file';
    if (hasLock && treeIsCurrent(root)) {
      writeFileSync(join(root, STAMP), wanted);
      return 'as in the lock file';
    }
    rmSync(join(root, STAMP), { force: true });
    const npm = findNpm(root, machine);
    const how = hasLock ? await installLocked(npm, { root, machine, reporter }) : 'npm install';
    if (!hasLock) await runNpm(npm, ['install'], { root, machine, reporter });
    mkdirSync(join(root, 'node_modules'), { recursive: true });
    writeFileSync(join(root, STAMP), lockHash(root, machine));
    return `installed by ${how}`;
  },
};

/**
 * `npm ci`. It refuses a lock file without the optional packages of other platforms, which is
 * what npm writes when its registry does not carry them; `npm install --no-save` then installs
 * exactly the locked versions of everything that is in the lock, and does not rewrite it.
 */
async function installLocked(npm, context) {
  let refused = false;
  try {
    const onLine = (line) => (refused ||= /\bcode EUSAGE\b/.test(line));
    await runNpm(npm, ['ci'], { ...context, onLine });
    return 'npm ci';
  } catch (error) {
    if (!refused) throw error;
    context.reporter.warn('npm ci finds package-lock.json incomplete; using npm install --no-save');
    await runNpm(npm, ['install', '--no-save'], context);
    return 'npm install --no-save';
  }
}

async function runNpm(npm, words, { root, machine, reporter, onLine }) {
  const command = `npm ${words.join(' ')}`;
  reporter.doing(`${command}, about a minute`);
  // Without --include=dev, NODE_ENV=production would leave out the compiler.
  await machine.run(npm.file, [...npm.args, ...words, '--include=dev', '--no-audit', '--no-fund'], {
    cwd: root,
    env: { ...machine.env, PATH: npm.path },
    timeoutMs: INSTALL_TIMEOUT_MS,
    remedy: `Run \`${command}\` by hand. Behind a proxy or a private registry, configure npm first (npm config set registry ...).`,
    onLine: (line) => {
      onLine?.(line);
      reporter.progress(`${command}: ${line}`);
    },
  });
}

/** Identifies what the packages are installed from, and for which kind of machine. */
export function lockHash(root, machine) {
  const source = existsSync(join(root, LOCK)) ? LOCK : 'package.json';
  const hash = createHash('sha256').update(readFileSync(join(root, source)));
  return hash.update(`${machine.platform}-${machine.arch}`).digest('hex');
}

function readIfThere(path) {
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : undefined;
}

function treeIsCurrent(root) {
  const hidden = readIfThere(join(root, HIDDEN_LOCK));
  if (hidden === undefined) return false;
  try {
    return installedMatchesLock(JSON.parse(readFileSync(join(root, LOCK), 'utf8')), JSON.parse(hidden));
  } catch {
    // Unreadable either way: npm will say what is wrong with the one, and rewrite the other.
    return false;
  }
}

/**
 * The npm that runs us, else the one on PATH. Never run by the Node in node_modules, which
 * `npm ci` removes while it works.
 */
function findNpm(root, machine) {
  const inTree = join(root, 'node_modules') + sep;
  const outside = (path) => path !== undefined && !path.startsWith(inTree);
  const folders = (machine.env.PATH ?? '').split(delimiter).filter((folder) => outside(folder + sep));
  const ours = { ...machine.env, PATH: folders.join(delimiter) };
  const node = [machine.env.npm_node_execpath, machine.whichIn('node', ours), process.execPath].find(outside);
  const path = node ? [dirname(node), ...folders].join(delimiter) : ours.PATH;
  const script = machine.env.npm_execpath;
  if (node && script && /npm-cli\.[cm]?js$/.test(script) && existsSync(script)) {
    return { file: node, args: [script], path };
  }
  const npm = machine.whichIn('npm', ours);
  if (!npm) {
    throw new CannotInstall('There is no npm on PATH.', {
      remedy: 'Install Node.js 20 or newer together with npm.',
    });
  }
  return { file: npm, args: [], path };
}
