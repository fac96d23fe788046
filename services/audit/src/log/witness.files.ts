import { mkdir, open, readFile, stat, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { PublicJwk } from '#libs/contracts';
import { witnessFile, type WitnessFile } from '#libs/evidence';
import { hash_bytes, readNotes } from '#libs/tlog';

/** What the files say at present. */
export interface WitnessState {
  /** Whole hashes in the file of leaves. */
  readonly leaves: number;
  /** Beginning of one more, which a writer that was ended did not finish. */
  readonly torn: Buffer;
  /** The notes at the end of the file of checkpoints, the oldest first; the last may be torn. */
  readonly notes: readonly string[];
  /** The file of checkpoints does not end with a whole line. */
  readonly isOpenEnded: boolean;
  /** The key that the notes were begun under. */
  readonly key: PublicJwk | null;
}

/** More than the longest note, and a torn one after it. */
const tail_bytes_max = 64 * 1024;
const key_bytes_max = 4096;

/**
 * The memory of the log outside the database, in files that are only ever appended to:
 *
 *   <name>.leaves        32 bytes for each record, in the order of the log
 *   <name>.checkpoints   signed notes, blank lines between them
 *   <name>.key.jwk       the public key they are signed with, written once
 *
 * An append returns when it is on the disk. Nothing is ever taken back: what a writer left unfinished is finished (a hash)
 * or passed over by readers (a note), so the files may lie where nothing can be changed. Not for several writers at once.
 */
export class WitnessFiles {
  private readonly path: (kind: WitnessFile) => string;

  constructor(
    private readonly folder: string,
    origin: string,
  ) {
    this.path = (kind) => join(folder, witnessFile(origin, kind));
  }

  async state(): Promise<WitnessState> {
    const bytes = await sizeOf(this.path('leaves'));
    const leaves = Math.floor(bytes / hash_bytes);
    const tail = await readTail(this.path('checkpoints'), tail_bytes_max);
    return {
      leaves,
      torn: await readRange(this.path('leaves'), leaves * hash_bytes, bytes % hash_bytes),
      notes: readNotes(tail.toString('utf8')),
      isOpenEnded: tail.length > 0 && tail.at(-1) !== 0x0a,
      key: await readKey(this.path('key.jwk')),
    };
  }

  /** The hashes at positions `[from, to)`; fewer when there are not so many. */
  async leaves(from: number, to: number): Promise<Buffer> {
    return await readRange(this.path('leaves'), from * hash_bytes, (to - from) * hash_bytes);
  }

  /** Bytes of hashes: whole ones, but that the first goes on from a torn one. */
  async appendLeaves(bytes: Buffer): Promise<void> {
    await this.append('leaves', bytes);
  }

  async appendNote(note: string, { notes, isOpenEnded }: WitnessState): Promise<void> {
    // Two blank lines end whatever a torn note was.
    const before = isOpenEnded ? '\n\n\n' : notes.length > 0 ? '\n' : '';
    await this.append('checkpoints', Buffer.from(before + note, 'utf8'));
  }

  /** Keeps the key beside what it signs. */
  async keepKey(key: PublicJwk): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    await writeFile(this.path('key.jwk'), `${JSON.stringify(key)}\n`, { flag: 'wx', flush: true });
    await this.syncFolder();
  }

  private async append(kind: WitnessFile, bytes: Buffer): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    const file = await open(this.path(kind), 'a', 0o644);
    try {
      const isNew = (await file.stat()).size === 0;
      await file.appendFile(bytes);
      await file.datasync();
      if (isNew) await this.syncFolder();
    } finally {
      await file.close();
    }
  }

  /** A file is there after a loss of power only once its folder is on the disk. */
  private async syncFolder(): Promise<void> {
    const folder = await open(this.folder, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return 0;
    throw error;
  }
}

async function readTail(path: string, bytes_max: number): Promise<Buffer> {
  const size = await sizeOf(path);
  return await readRange(path, Math.max(0, size - bytes_max), Math.min(size, bytes_max));
}

async function readRange(path: string, from: number, length: number): Promise<Buffer> {
  if (length === 0) return Buffer.alloc(0);
  const file = await open(path, 'r');
  try {
    return await readFully(file, from, length);
  } finally {
    await file.close();
  }
}

async function readFully(file: FileHandle, from: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let read = 0;
  while (read < length) {
    const { bytesRead } = await file.read(buffer, read, length - read, from + read);
    if (bytesRead === 0) break;
    read += bytesRead;
  }
  return buffer.subarray(0, read);
}

async function readKey(path: string): Promise<PublicJwk | null> {
  const bytes = await sizeOf(path);
  if (bytes === 0) return null;
  if (bytes > key_bytes_max) throw new Error(`${path} is not a public key.`);
  return PublicJwk.parse(JSON.parse(await readFile(path, 'utf8')));
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';
