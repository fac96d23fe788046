/**
 * What was typed after `npm start`. npm hands arguments to `start` but not to `prestart`, which
 * is where the bootstrap runs and has to know whether Docker is wanted. npm shows its own
 * command line as its process title, so that is where we read it.
 */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** npm, the shell between it and us, and one more for wrappers. */
const ANCESTORS_MAX = 3;
const PS_TIMEOUT_MS = 2_000;

/**
 * @param {Readonly<Record<string, string | undefined>>} env
 * @param {() => string[]} [titles] the command lines of our ancestors, nearest first
 * @returns {string | undefined} the value of `--driver`, unchecked
 */
export function driverGivenToNpm(env, titles = ancestorTitles) {
  if (!env.npm_lifecycle_event?.startsWith('pre')) return undefined;
  const npm = titles().find((title) => /^npm\s/.test(title));
  return /\s--driver(?:=|\s+)([\w-]+)/.exec(npm ?? '')?.[1];
}

function ancestorTitles() {
  const titles = [];
  let pid = process.ppid;
  while (titles.length < ANCESTORS_MAX && pid > 1) {
    const found = processOf(pid);
    if (!found) break;
    titles.push(found.title);
    pid = found.parent;
  }
  return titles;
}

function processOf(pid) {
  try {
    if (process.platform === 'linux') {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const title = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      return { title, parent: Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) };
    }
    const line = execFileSync('ps', ['-o', 'ppid=,command=', '-p', String(pid)], {
      encoding: 'utf8',
      timeout: PS_TIMEOUT_MS,
    });
    const [, parent, title] = /^\s*(\d+)\s+(.*)$/m.exec(line) ?? [];
    return parent && { title, parent: Number(parent) };
  } catch {
    // An ancestor may end, or hide, at any time; then `--driver` or TRADEFLEET_DRIVER has to say it.
    return undefined;
  }
}
