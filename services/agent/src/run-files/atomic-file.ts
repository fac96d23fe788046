import { constants } from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

/** Longest file of the runtime contract. */
export const file_bytes_max = 64 * 1024;

/**
 * Replaces a file whole: a reader sees the old one or the new one. Nothing is synced: the directory is memory and
 * dies with the machine. The temporary name is fixed, so that a crash leaves one at most.
 */
export async function writeAtomically(
  path: string,
  content: string,
  mode: number,
  owner: FileOwner | null,
): Promise<void> {
  if (Buffer.byteLength(content) > file_bytes_max) throw new Error(`${basename(path)} would be too long.`);
  const temporary = join(dirname(path), `.${basename(path)}.new`);
  await rm(temporary, { force: true });
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(temporary, flags, 0o600);
  try {
    await file.writeFile(content, 'utf8');
    if (owner !== null) await file.chown(owner.uid, owner.gid);
    await file.chmod(mode);
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

/**
 * Reads a file that something untrusted wrote: never follows a link, never waits on a pipe, never reads more than
 * the bound. Null when it is missing; throws when it is not a plain file or too long.
 */
export async function readUntrusted(path: string, bytes_max: number): Promise<string | null> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    if (!(await file.stat()).isFile()) throw new Error('not a file');
    const buffer = Buffer.alloc(bytes_max + 1);
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    if (length > bytes_max) throw new Error(`longer than ${bytes_max} bytes`);
    return buffer.toString('utf8', 0, length);
  } finally {
    await file.close();
  }
}
