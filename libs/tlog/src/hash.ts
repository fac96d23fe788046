import { createHash, hash } from 'node:crypto';

/** Length of every hash of the log: SHA-256. */
export const hash_bytes = 32;

/** Prefix and two hashes: a node is hashed before the next one is written here. */
const node = Buffer.alloc(1 + 2 * hash_bytes, 1);

/** Root of the log without a record (RFC 6962, section 2.1). */
export const emptyRoot: Buffer = createHash('sha256').digest();

/** Hash of a record's line. A text is taken as UTF-8. */
export function leafHash(line: Uint8Array | string): Buffer {
  // In UTF-8 this character is the prefix.
  if (typeof line === 'string') return sha256(`\0${line}`);
  const input = Buffer.allocUnsafe(1 + line.length);
  input[0] = 0;
  input.set(line, 1);
  return sha256(input);
}

/** Hash of two subtrees, the left one first. */
export function nodeHash(left: Buffer, right: Buffer): Buffer {
  requireHash(left);
  requireHash(right);
  node.set(left, 1);
  node.set(right, 1 + hash_bytes);
  return sha256(node);
}

/** Writes the hash of the two subtrees that stand at `from` of a buffer into it at `to`, which may be the same place. */
export function hashNode(hashes: Buffer, from: number, to: number): void {
  hashes.copy(node, 1, from, from + 2 * hash_bytes);
  hashes.write(digest(node), to, hash_bytes, 'latin1');
}

const sha256 = (input: Uint8Array | string): Buffer => Buffer.from(digest(input), 'latin1');

/** A character for each byte: Node takes twice as long to make a buffer as to hash a node. */
const digest = (input: Uint8Array | string): string => hash('sha256', input, 'binary');

/** The hashes of a buffer that holds them one after the other. They share its memory. */
export function splitHashes(hashes: Buffer): Buffer[] {
  if (hashes.length % hash_bytes !== 0) throw new RangeError('Not a whole number of hashes.');
  return Array.from({ length: hashes.length / hash_bytes }, (_, index) => hashAt(hashes, index));
}

/** The hash at an index of such a buffer. */
export function hashAt(hashes: Buffer, index: number): Buffer {
  const found = hashes.subarray(index * hash_bytes, (index + 1) * hash_bytes);
  requireHash(found);
  return found;
}

export function requireHash(hash: Buffer): void {
  if (hash.length !== hash_bytes) throw new RangeError(`A hash has ${hash_bytes} bytes.`);
}

/** A size or position of a log: an integer that a number holds exactly. */
export function requireSize(size: number): void {
  if (!Number.isSafeInteger(size) || size < 0) throw new RangeError('A size is an integer from 0.');
}
