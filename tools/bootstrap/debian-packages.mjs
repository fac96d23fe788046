/** Installs Debian packages, when this is Debian and we are root. */

import { readdirSync, statSync } from 'node:fs';

const UPDATE_TIMEOUT_MS = 5 * 60_000;
const INSTALL_TIMEOUT_MS = 10 * 60_000;
/** Package lists older than this often name versions that the mirror no longer has. */
const LISTS_FRESH_MS = 24 * 60 * 60_000;
const LISTS_FOLDER = '/var/lib/apt/lists';
/** Another apt may be at work (unattended-upgrades): wait this long for its lock. */
const LOCK_WAIT = 'DPkg::Lock::Timeout=120';

/** @param {{isDebian: boolean, isRoot: boolean}} machine */
export function canInstallPackages(machine) {
  return machine.isDebian && machine.isRoot;
}

/**
 * @param {ReturnType<import('./machine.mjs').thisMachine>} machine
 * @param {readonly string[]} packages
 * @param {{doing: (text: string) => void, remedy?: string, listsAreFresh?: () => boolean}} options
 */
export async function installPackages(
  machine,
  packages,
  { doing, remedy, listsAreFresh = defaultListsAreFresh },
) {
  const env = { ...machine.env, DEBIAN_FRONTEND: 'noninteractive' };
  const update = () => {
    doing('apt-get update');
    return machine.run('/usr/bin/apt-get', ['update', '-q'], { timeoutMs: UPDATE_TIMEOUT_MS, env, remedy });
  };
  const install = () => {
    doing(`apt-get install ${packages.join(' ')}`);
    const args = ['install', '-y', '-q', '--no-install-recommends', '-o', LOCK_WAIT, '--', ...packages];
    return machine.run('/usr/bin/apt-get', args, { timeoutMs: INSTALL_TIMEOUT_MS, env, remedy });
  };
  if (!listsAreFresh()) {
    await update();
    await install();
    return;
  }
  try {
    await install();
  } catch {
    // Fresh lists can still lack a package or name a version that has just been replaced.
    await update();
    await install();
  }
}

function defaultListsAreFresh() {
  try {
    const lists = readdirSync(LISTS_FOLDER).filter((name) => name.endsWith('Release'));
    const newest = Math.max(...lists.map((name) => statSync(`${LISTS_FOLDER}/${name}`).ctimeMs));
    return Date.now() - newest < LISTS_FRESH_MS;
  } catch {
    return false;
  }
}
