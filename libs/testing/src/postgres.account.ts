import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const timeout = 30_000;

/** How a program of Postgres is started so that it does not run as root, which it refuses. */
export interface PostgresAccount {
  readonly uid?: number;
  readonly gid?: number;
  /** Words before the command. */
  readonly prefix: readonly string[];
}

/**
 * The account Postgres runs under: our own, unless we are root; then `postgres`, made if the system has none.
 * Where that account cannot walk to the given folders (a checkout under /root, a private temporary folder) it gets
 * the capability to pass folder permissions, and nothing else of root's.
 */
export async function postgresAccount(folders: readonly string[]): Promise<PostgresAccount> {
  if (process.getuid?.() !== 0) return { prefix: [] };
  const { uid, gid } = await systemAccount();
  if (await reaches(uid, gid, folders)) return { uid, gid, prefix: [] };
  const prefix = [
    'setpriv',
    `--reuid=${uid}`,
    `--regid=${gid}`,
    '--clear-groups',
    '--inh-caps=+dac_override',
    '--ambient-caps=+dac_override',
  ];
  try {
    await run('setpriv', [...prefix.slice(1), 'true'], { cwd: '/', timeout });
  } catch (error) {
    throw new Error(
      `Postgres must not run as root, and the account "postgres" cannot reach ${folders.join(' or ')}. ` +
        'Run this as an ordinary user, or move the folder to where every user may go.',
      { cause: error },
    );
  }
  return { prefix };
}

async function systemAccount(): Promise<{ uid: number; gid: number }> {
  const ids = async () => ({ uid: await id('-u'), gid: await id('-g') });
  try {
    return await ids();
  } catch {
    const home = ['--home-dir', '/nonexistent', '--no-create-home', '--shell', '/usr/sbin/nologin'];
    try {
      await run('useradd', ['--system', '--user-group', ...home, 'postgres'], { timeout });
    } catch (error) {
      // Another process may have made it at the same moment.
      return await ids().catch(() => {
        throw new Error('Postgres must not run as root, and the account "postgres" could not be made.', {
          cause: error,
        });
      });
    }
    return await ids();
  }
}

async function id(flag: '-u' | '-g'): Promise<number> {
  return Number((await run('id', [flag, 'postgres'], { timeout })).stdout);
}

async function reaches(uid: number, gid: number, folders: readonly string[]): Promise<boolean> {
  const script = 'for folder in "$@"; do [ -x "$folder/." ] || exit 1; done';
  try {
    await run('/bin/sh', ['-c', script, 'reaches', ...folders], { uid, gid, cwd: '/', timeout });
    return true;
  } catch {
    return false;
  }
}
