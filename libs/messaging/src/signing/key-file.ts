import { randomBytes } from 'node:crypto';
import { chmod, link, mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';

/** A private key as RFC 8037 JWK. */
export const PrivateJwk = z.strictObject({
  kty: z.literal('OKP'),
  crv: z.enum(['Ed25519', 'X25519']),
  x: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  d: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  kid: z.string().min(1).max(64).optional(),
  alg: z.string().max(32).optional(),
  use: z.enum(['sig', 'enc']).optional(),
});
export type PrivateJwk = z.infer<typeof PrivateJwk>;

const key_file_bytes_max = 4096;
const others_may = 0o077;

/** Reads a private key; refuses a file that anybody but its owner may touch. Never quotes what the file holds. */
export async function readKeyFile(path: string): Promise<PrivateJwk> {
  const { mode, size } = await stat(path);
  if ((mode & others_may) !== 0)
    throw new Error(`The key file ${path} is open to others: run chmod 0600 on it.`);
  if (size > key_file_bytes_max)
    throw new Error(`The key file ${path} is larger than ${key_file_bytes_max} bytes: not a key.`);
  const parsed = PrivateJwk.safeParse(jsonOrNull(await readFile(path, 'utf8')));
  if (!parsed.success)
    throw new Error(`The key file ${path} is not a private key in JWK form: restore it or remove it.`);
  return parsed.data;
}

/**
 * Writes a new key file, mode 0600, whole or not at all. False when another process was first; what is there stays.
 */
export async function createKeyFile(path: string, jwk: PrivateJwk): Promise<boolean> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(jwk)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    await chmod(temporary, 0o600);
    // A link fails where a rename would overwrite, so that two first starts end with one key.
    await link(temporary, path);
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}

export async function fileExists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

function jsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null; // the parser's message would quote the key
  }
}

const isErrno = (error: unknown, code: string): boolean =>
  typeof error === 'object' && error !== null && 'code' in error && error.code === code;
