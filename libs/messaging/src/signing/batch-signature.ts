import { randomFillSync } from 'node:crypto';
import { event_salt_bytes, eventBatchSigningInput, eventLeafInput } from '#libs/contracts';
import { hash_bytes, leafHash, wholeTree } from '#libs/tlog';
import type { SigningKey } from './signing-key.js';

/** Events that one signature covers; more are refused. At 64 a path has at most 6 hashes. */
export const events_per_signature_max = 64;
const path_hashes_max = Math.ceil(Math.log2(events_per_signature_max));

/** What an event of a batch carries, as text: `<detached JWS>~<index>~<size>~<salt>~<path>`. */
export interface BatchSignature {
  /** Over `eventBatchSigningInput`: the same for all events of the batch. */
  readonly jws: string;
  /** Place of the event in the batch, from 0. */
  readonly index: number;
  /** Events in the batch. */
  readonly size: number;
  readonly salt: Buffer;
  /** The nearest hash first. */
  readonly path: readonly Buffer[];
}

const separator = '~';
const parts_count = 5;
/** 0, or a number as we write it, that is bounded. */
const number = /^(?:0|[1-9]\d{0,2})$/;

/** Whether it claims to be of a batch; one for a single event has no such character. */
export const isOfBatch = (signature: string): boolean => signature.includes(separator);

/**
 * One signature for all, in their order one text for each, which verifies by itself; of a single one the plain signature.
 * Throws `RangeError` for more than `events_per_signature_max`.
 * @param inputs `eventSigningInput` of each
 */
export async function signBatch(inputs: readonly Uint8Array[], signer: SigningKey): Promise<string[]> {
  if (inputs.length > events_per_signature_max)
    throw new RangeError(`One signature is for ${events_per_signature_max} events at most.`);
  const [only] = inputs;
  if (only === undefined) return [];
  if (inputs.length === 1) return [await signer.sign(only)];
  const salts = randomFillSync(Buffer.allocUnsafe(inputs.length * event_salt_bytes));
  const saltOf = (index: number): Buffer =>
    salts.subarray(index * event_salt_bytes, (index + 1) * event_salt_bytes);
  const leaves = inputs.map((input, index) => leafHash(eventLeafInput(saltOf(index), input)));
  const { root, proofs } = wholeTree(leaves);
  const jws = await signer.sign(eventBatchSigningInput(inputs.length, root));
  return proofs.map((path, index) =>
    writeBatchSignature({ jws, index, size: inputs.length, salt: saltOf(index), path }),
  );
}

export const writeBatchSignature = ({ jws, index, size, salt, path }: BatchSignature): string =>
  [jws, index, size, salt.toString('base64url'), Buffer.concat(path).toString('base64url')].join(separator);

/** Null for what we would not write: each signature has one text. Whether the path leads to the root shows the folding. */
export function readBatchSignature(text: string): BatchSignature | null {
  const parts = text.split(separator, parts_count + 1);
  const [jws = '', index = '', size = '', saltText = '', pathText = ''] = parts;
  if (parts.length !== parts_count || !number.test(index) || !number.test(size)) return null;
  const salt = readBase64url(saltText);
  const hashes = readBase64url(pathText);
  if (salt?.length !== event_salt_bytes || hashes === null || hashes.length % hash_bytes !== 0) return null;
  const signature = { jws, index: Number(index), size: Number(size), salt, path: hashesIn(hashes) };
  return isBounded(signature) ? signature : null;
}

/** A batch of one has the plain form. */
const isBounded = ({ index, size, path }: BatchSignature): boolean =>
  size >= 2 && size <= events_per_signature_max && index < size && path.length <= path_hashes_max;

/** Null unless it is what the encoder would write: Node's decoder skips what does not belong, and ignores spare bits. */
function readBase64url(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : null;
}

function hashesIn(bytes: Buffer): Buffer[] {
  const hashes: Buffer[] = [];
  for (let from = 0; from < bytes.length; from += hash_bytes)
    hashes.push(bytes.subarray(from, from + hash_bytes));
  return hashes;
}
