import { archiveFile, ArchiveInvalid, checkArchive, fileSha256 } from '#libs/archive';
import { openCheckpoint, toKeyObject, type ToldArchive, type Verdict } from '#libs/evidence';
import { join } from 'node:path';

/** An archive of which the log tells, as it lies in a folder. */
export interface FoundArchive {
  readonly archive: string;
  readonly file: string;
  /** What is wrong, in a sentence; null: it is the file that the log tells of, and its records are proved. */
  readonly fault: string | null;
}

/** Looks for each archive that a verified log tells of, reads it and proves it. */
export async function findArchives(folder: string, { archives, key }: Verdict): Promise<FoundArchive[]> {
  const found: FoundArchive[] = [];
  for (const told of archives) {
    const file = archiveFile({ class: told.class, month: told.month, id: told.archive });
    const fault = await faultOf(join(folder, file), told, key);
    found.push({ archive: told.archive, file, fault });
  }
  return found;
}

async function faultOf(path: string, told: ToldArchive, key: Verdict['key']): Promise<string | null> {
  const sha256 = await fileSha256(path);
  if (sha256 === null) return 'It is not there.';
  if (sha256.toString('hex') !== told.sha256)
    return 'It is not the file that the log tells of: its SHA-256 is another.';
  const keyObject = toKeyObject(key);
  try {
    const { head, first, last } = await checkArchive(path, {
      openNote: (note, origin) => openCheckpoint(note, origin, keyObject),
    });
    const isTold =
      head.id === told.archive && head.records === told.records && first === told.first && last === told.last;
    return isTold ? null : 'It has other records than the log tells.';
  } catch (error) {
    if (error instanceof ArchiveInvalid) return error.message;
    throw error;
  }
}
