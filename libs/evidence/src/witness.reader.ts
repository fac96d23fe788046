import { createPublicKey, type KeyObject } from 'node:crypto';
import { open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PublicJwk } from '#libs/contracts';
import { hash_bytes, NoteInvalid, NoteReader, openNote, parseCheckpoint, type Checkpoint } from '#libs/tlog';
import { EvidenceDamaged } from './evidence.damaged.js';
import { jsonOrNull, readLines } from './export.reader.js';
import { witnessFile } from './witness.name.js';

const leaves_a_step = 32_768;
const key_bytes_max = 4096;

/** What was seen of a log from outside: its notes, and perhaps every hash. */
export interface Evidence {
  /** The notes in their file, in its order. */
  notes(): AsyncIterable<string>;
  /** Null where only checkpoints were kept. */
  readonly leaves: WitnessLeaves | null;
  /** The key beside them, when there is one. */
  readonly key: PublicJwk | null;
}

/** The hashes of a witness. */
export interface WitnessLeaves {
  /** How many there are. */
  readonly size: number;
  /** Those from a position on, in order. */
  from(position: number): AsyncIterable<Buffer>;
}

/** What lies at a path: the folder of a witness, or a file with one note or several. */
export async function readEvidence(path: string, origin: string): Promise<Evidence> {
  if (!(await stat(path)).isDirectory()) return { notes: () => notesOf(path), leaves: null, key: null };
  const file = (kind: Parameters<typeof witnessFile>[1]): string => join(path, witnessFile(origin, kind));
  const leaves = file('leaves');
  return {
    notes: () => notesOf(file('checkpoints')),
    leaves: {
      size: Math.floor((await stat(leaves)).size / hash_bytes),
      from: (position) => leavesOf(leaves, position),
    },
    key: await keyOf(file('key.jwk')),
  };
}

/** An Ed25519 public key in a file, as JWK. Throws `EvidenceDamaged` for anything else. */
export async function readPublicKey(path: string): Promise<PublicJwk> {
  const { size } = await stat(path);
  const parsed = size > key_bytes_max ? null : PublicJwk.safeParse(jsonOrNull(await readFile(path, 'utf8')));
  if (parsed?.success !== true || parsed.data.crv !== 'Ed25519')
    throw new EvidenceDamaged(`${path} is not an Ed25519 public key as JWK.`);
  return parsed.data;
}

export const toKeyObject = (key: PublicJwk): KeyObject =>
  createPublicKey({ key: { kty: key.kty, crv: key.crv, x: key.x }, format: 'jwk' });

/** The checkpoint in a note of this log that the key has signed; null for any other. */
export function openCheckpoint(note: string, origin: string, key: KeyObject): Checkpoint | null {
  try {
    const checkpoint = parseCheckpoint(openNote(note, origin, key));
    return checkpoint.origin === origin ? checkpoint : null;
  } catch (error) {
    if (error instanceof NoteInvalid) return null;
    throw error;
  }
}

async function* notesOf(path: string): AsyncGenerator<string> {
  const reader = new NoteReader();
  for await (const line of readLines(path)) {
    const note = reader.take(line.toString('utf8'));
    if (note !== null) yield note;
  }
  const last = reader.end();
  if (last !== null) yield last;
}

async function* leavesOf(path: string, position: number): AsyncGenerator<Buffer> {
  const file = await open(path, 'r');
  try {
    for (let at = position; ;) {
      const chunk = Buffer.allocUnsafe(leaves_a_step * hash_bytes);
      const { bytesRead } = await file.read(chunk, 0, chunk.length, at * hash_bytes);
      const count = Math.floor(bytesRead / hash_bytes);
      if (count === 0) return;
      for (let index = 0; index < count; index += 1)
        yield chunk.subarray(index * hash_bytes, (index + 1) * hash_bytes);
      at += count;
    }
  } finally {
    await file.close();
  }
}

async function keyOf(path: string): Promise<PublicJwk | null> {
  try {
    return await readPublicKey(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
