import { randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { z } from 'zod';

const KeyId = z.string().regex(/^[a-z0-9-]{1,32}$/);
const KeyFile = z
  .strictObject({
    current: KeyId,
    /** 32 random bytes each, base64. */
    keys: z.record(KeyId, z.base64()),
  })
  .refine((file) => Object.hasOwn(file.keys, file.current), 'the current key must be among the keys');

/** Keys that wrap other keys, 32 bytes each. */
export interface MasterKeys {
  /** The key new values are written under. */
  readonly current: string;
  readonly keys: ReadonlyMap<string, Buffer>;
}

export class MasterKeyError extends Error {
  override readonly name = 'MasterKeyError';
}

/**
 * Reads the master keys: `{"current": "k1", "keys": {"k1": "<base64 of 32 bytes>"}}`. To rotate, add a key and make
 * it current; keep the old ones until no row names them. Refuses a file that others may read. With `create`, a
 * missing file is made with one random key.
 */
export function readMasterKeys(path: string, options: { create: boolean }): MasterKeys {
  if (options.create) createIfMissing(path);
  let text: string;
  let mode: number;
  try {
    mode = statSync(path).mode & 0o777;
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new MasterKeyError(`The master key file ${path} cannot be read; restore it from its backup.`, {
      cause,
    });
  }
  if ((mode & 0o077) !== 0)
    throw new MasterKeyError(
      `The master key file ${path} has mode ${mode.toString(8)}; run chmod 600 on it.`,
    );
  return parse(path, text);
}

function createIfMissing(path: string): void {
  const file = { current: 'k1', keys: { k1: randomBytes(32).toString('base64') } };
  try {
    writeFileSync(path, `${JSON.stringify(file)}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function parse(path: string, text: string): MasterKeys {
  let parsed: z.infer<typeof KeyFile>;
  try {
    parsed = KeyFile.parse(JSON.parse(text));
  } catch {
    // The cause is left out: a JSON error quotes the text around the fault.
    throw new MasterKeyError(`The master key file ${path} is not of the form {"current": …, "keys": {…}}.`);
  }
  const keys = new Map(
    Object.entries(parsed.keys).map(([id, text64]) => [id, Buffer.from(text64, 'base64')]),
  );
  for (const [id, key] of keys)
    if (key.length !== 32) throw new MasterKeyError(`Master key ${id} in ${path} is not 32 bytes long.`);
  return { current: parsed.current, keys };
}
