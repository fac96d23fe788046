import { EvidenceDamaged, ExportInvalid } from '#libs/evidence';
import { FileFault, UsageError } from './exit.codes.js';

const wrongPaths = new Set(['ENOENT', 'EISDIR', 'ENOTDIR', 'EACCES']);

/** Work with files that somebody names: what is not there is wrong usage, what is something else is told of. */
export async function withFiles<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ExportInvalid || error instanceof EvidenceDamaged)
      throw new FileFault(error.message);
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== undefined && wrongPaths.has(code)) throw new UsageError(message);
    throw error;
  }
}
