/** Primary result codes of SQLite, https://www.sqlite.org/rescode.html. */
const ioError = 10;
const full = 13;

/** Extended result codes carry the primary one in their lowest byte. */
const primary_bits = 0xff;

/** Error codes of the system for a disk that takes no more. */
const systemCodes: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT']);

/** Whether an error says that the disk is full, or that it could not be written: what may pass, and took nothing. */
export function lacksRoom(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  if ('errcode' in error && typeof error.errcode === 'number') {
    const code = error.errcode & primary_bits;
    return code === full || code === ioError;
  }
  return 'code' in error && systemCodes.has(error.code);
}
