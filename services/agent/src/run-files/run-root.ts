import { chmod, lstat, mkdir, readFile, statfs, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { StartupFault } from '../errors.js';

/** Magic numbers of file systems that live in memory (linux/magic.h). */
const memory_file_systems: ReadonlySet<number> = new Set([
  0x01021994, // tmpfs
  0x858458f6, // ramfs
]);

/** Names the host a run root belongs to. */
export const claim_file = '.host';

/**
 * Makes the run root ready for one host. Credentials are written below it, so it must be memory unless
 * `allowDisk`; and what is unknown below it is removed, so two hosts must not share one.
 */
export async function prepareRunRoot(root: string, host: string, allowDisk: boolean): Promise<void> {
  await mkdir(root, { recursive: true, mode: 0o700 });
  await requireOurs(resolve(root));
  await chmod(root, 0o700);
  if (!allowDisk && !memory_file_systems.has((await statfs(root)).type)) {
    throw new StartupFault(
      `The run root ${root} is not in memory, and passwords are written there. Point TRADEFLEET_RUN_ROOT at a ` +
        'tmpfs such as /run/tradefleet, or set TRADEFLEET_RUN_ROOT_ALLOW_DISK=true on a machine without real accounts.',
    );
  }
  const claim = join(root, claim_file);
  try {
    await writeFile(claim, host, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const owner = (await readFile(claim, 'utf8')).trim();
    if (owner === host) return;
    throw new StartupFault(
      `The run root ${root} belongs to host ${owner}. Give host ${host} its own TRADEFLEET_RUN_ROOT.`,
    );
  }
}

const anybody_may_write = 0o002;
const sticky = 0o1000;

/**
 * Whoever else owns the run root, or may replace it or a folder above it, reads passwords and says what bots are told.
 * The name can be foreseen, and `/dev/shm` lets anybody make it first: what is found there is not taken on trust.
 */
async function requireOurs(root: string): Promise<void> {
  const own = process.getuid?.() ?? 0;
  // Not the root of all: whoever owns that needs none of this, and in some containers it is nobody's.
  for (let path = root; path !== dirname(path); path = dirname(path)) {
    const found = await lstat(path);
    const replaceable = (found.mode & anybody_may_write) !== 0 && (found.mode & sticky) === 0;
    const owned = found.uid === own || (found.uid === 0 && path !== root);
    // A link above the root that is root's or ours was meant: `/var/run` is one.
    const link = found.isSymbolicLink();
    if (!owned || (path === root && link) || (replaceable && !link)) {
      throw new StartupFault(
        `The run root ${root} is not safe: ${path} belongs to another user, is a link, or can be replaced by anybody. ` +
          'Find out who made it, then remove it or point TRADEFLEET_RUN_ROOT elsewhere.',
      );
    }
  }
}
