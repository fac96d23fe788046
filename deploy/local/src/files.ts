import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';

/** Whole or not at all: written beside it and renamed. For the owner alone. */
export function writeFileAtomically(path: string, text: string): void {
  const aside = `${path}.${process.pid}.new`;
  writeFileSync(aside, text, { mode: 0o600 });
  renameSync(aside, path);
}

/** The secret in the file, made up at the first call: 32 random bytes, base64url. */
export function secretFromFile(path: string): string {
  try {
    writeFileSync(path, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  if ((statSync(path).mode & 0o077) !== 0)
    throw new Error(`${path} can be read by others; run chmod 600 on it.`);
  return readFileSync(path, 'utf8').trim();
}
