/** What kind of machine this is, and the few ways in which the bootstrap touches it. Tests pass their own. */

import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { isExecutableFile, run, startDetached, which } from './commands.mjs';

/** Directories with daemons and system tools that a user's PATH often lacks. */
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin'];

/**
 * @param {{env?: NodeJS.ProcessEnv}} [options]
 */
export function thisMachine({ env = process.env } = {}) {
  const release = readRelease();
  return {
    env,
    platform: process.platform,
    arch: process.arch,
    isRoot: process.getuid?.() === 0,
    /** Debian itself or a distribution that says it is like Debian, with apt-get at hand. */
    isDebian: isLikeDebian(release) && isExecutableFile('/usr/bin/apt-get'),
    codename: release.VERSION_CODENAME ?? '',
    release,
    hasSystemd: existsSync('/run/systemd/system'),
    cacheFolder: join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'tradefleet'),
    home: homedir(),
    logFolder: isWritable('/var/log') ? '/var/log' : undefined,
    exists: existsSync,
    isExecutable: isExecutableFile,
    which: (name) => which(name, env, SYSTEM_FOLDERS),
    whichIn: (name, otherEnv) => which(name, otherEnv),
    run,
    startDetached,
  };
}

function isWritable(folder) {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function readRelease() {
  try {
    return parseRelease(readFileSync('/etc/os-release', 'utf8'));
  } catch {
    return {};
  }
}

/** @param {string} text the content of os-release(5) @returns {Record<string, string>} */
export function parseRelease(text) {
  const pairs = text.matchAll(/^([A-Z_]+)=("?)(.*)\2$/gm);
  return Object.fromEntries([...pairs].map(([, name, , value]) => [name, value]));
}

/** @param {Record<string, string>} release */
export function isLikeDebian(release) {
  return [release.ID, ...(release.ID_LIKE ?? '').split(' ')].includes('debian');
}
