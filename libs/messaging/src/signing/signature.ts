import { createPublicKey, type KeyObject } from 'node:crypto';
import { importJWK } from 'jose/key/import';
import type { CryptoKey } from 'jose';
import { eventLeafInput, ProblemError, type PublicJwk } from '#libs/contracts';
import { leafHash } from '#libs/tlog';
import { isOfBatch, readBatchSignature, type BatchSignature } from './batch-signature.js';
import { isSigned } from './detached-jws.js';
import { signatureAlgorithm, signatureType } from './signing-key.js';
import { VerifiedBatches } from './verified-batches.js';

const signature_chars_max = 1024;
const imported_max = 4096;
const imported = new Map<string, CryptoKey>();
const keyObjects = new Map<string, KeyObject>();

/** Keys made once: a scheduler verifies the same hosts again and again. Oldest out first. */
function remembered<K>(keys: Map<string, K>, jwk: PublicJwk, made: K): K {
  if (keys.size >= imported_max) keys.delete(keys.keys().next().value ?? '');
  keys.set(`${jwk.crv}.${jwk.x}`, made);
  return made;
}

/** For the verifiers of tokens. */
export async function importPublicKey(jwk: PublicJwk): Promise<CryptoKey> {
  const cached = imported.get(`${jwk.crv}.${jwk.x}`);
  if (cached !== undefined) return cached;
  const key = await importJWK({ kty: jwk.kty, crv: jwk.crv, x: jwk.x }, signatureAlgorithm);
  if (key instanceof Uint8Array) throw new Error('Not a public key.');
  return remembered(imported, jwk, key);
}

function publicKeyObject(jwk: PublicJwk): KeyObject {
  const cached = keyObjects.get(`${jwk.crv}.${jwk.x}`);
  if (cached !== undefined) return cached;
  const { kty, crv, x } = jwk;
  return remembered(keyObjects, jwk, createPublicKey({ key: { kty, crv, x }, format: 'jwk' }));
}

/** The keys a signature may have been made with: all where it names none. */
export function candidates(keys: PublicJwk | readonly PublicJwk[], kid: string | undefined): PublicJwk[] {
  const list = (Array.isArray(keys) ? keys : [keys]) as readonly PublicJwk[];
  const ed25519 = list.filter((key) => key.crv === 'Ed25519');
  if (kid === undefined) return ed25519;
  return ed25519.filter((key) => key.kid === undefined || key.kid === kid);
}

/**
 * Resolves when `signature` (a detached JWS) over exactly these bytes was made by one of the keys.
 * Throws `bad_signature` for a missing, malformed or false one; never says which key would have fitted.
 */
export async function verifySignature(
  bytes: Uint8Array,
  signature: string | undefined,
  keys: PublicJwk | readonly PublicJwk[],
): Promise<void> {
  if (signature === undefined || signature === '')
    throw new ProblemError('bad_signature', 'Sign the message with the registered key: it has no signature.');
  const kid = kidOf(signature);
  for (const key of candidates(keys, kid)) if (await isSignedBy(bytes, signature, key)) return;
  throw isFalse();
}

/**
 * As `verifySignature`, of an event: the signature may be over a batch of events, and shows that this one is among them.
 * @param input `eventSigningInput` of the event
 */
export async function verifyEventSignature(
  input: Uint8Array,
  signature: string | undefined,
  keys: PublicJwk | readonly PublicJwk[],
): Promise<void> {
  if (signature === undefined || !isOfBatch(signature)) {
    await verifySignature(input, signature, keys);
    return;
  }
  const batch = readBatch(signature);
  const leaf = leafHash(eventLeafInput(batch.salt, input));
  for (const key of candidates(keys, kidOf(batch.jws)))
    if (await verifiedBatches.shows(leaf, batch, key)) return;
  throw isFalse();
}

/**
 * Whether the event is of a batch of which one of the keys is known to have signed it. Answers at once: false also where
 * `verifyEventSignature` would have to find out.
 */
export function isOfVerifiedBatch(
  input: Uint8Array,
  signature: string | undefined,
  keys: readonly PublicJwk[],
): boolean {
  if (signature === undefined || !isOfBatch(signature) || signature.length > signature_chars_max)
    return false;
  const batch = readBatchSignature(signature);
  if (batch === null) return false;
  for (const key of keys) {
    const tree = verifiedBatches.known(batch, key);
    if (tree !== null)
      return tree.shows(batch.index, leafHash(eventLeafInput(batch.salt, input)), batch.path);
  }
  return false;
}

const verifiedBatches = new VerifiedBatches(isSignedBy);

function readBatch(signature: string): BatchSignature {
  const read = signature.length > signature_chars_max ? null : readBatchSignature(signature);
  if (read !== null) return read;
  throw new ProblemError(
    'bad_signature',
    'Send the signature of an event of a batch as <detached JWS>~<index>~<size>~<salt>~<path>.',
  );
}

/** The key that a detached JWS names; undefined: none. Throws `bad_signature` for one that is not of our kind. */
function kidOf(signature: string): string | undefined {
  const [header = '', payload, , ...more] = signature.split('.', 4);
  const read = payload === '' && more.length === 0 ? readHeader(signature, header) : null;
  if (read === null)
    throw new ProblemError('bad_signature', 'Send the signature as a detached JWS: <header>..<signature>.');
  if (!isOurs(read)) throw isFalse();
  return read.kid;
}

const isFalse = (): ProblemError =>
  new ProblemError(
    'bad_signature',
    'Sign the message, unchanged, with the registered key: the signature does not verify.',
  );

interface Header {
  readonly alg: unknown;
  readonly typ: unknown;
  readonly kid: string | undefined;
  /** Names of its members. */
  readonly members: readonly string[];
}

/** Of the kind we make and nothing more: a header may not bring rules of its own (`crit`, `b64`). */
const isOurs = ({ alg, typ, members }: Header): boolean =>
  alg === signatureAlgorithm &&
  typ === signatureType &&
  members.every((member) => ['alg', 'typ', 'kid'].includes(member));

/** False for whatever is wrong with key or signature: any failure means, not by this key. */
async function isSignedBy(bytes: Uint8Array, signature: string, key: PublicJwk): Promise<boolean> {
  const [header = '', , value = ''] = signature.split('.', 3);
  try {
    return await isSigned(header, bytes, value, publicKeyObject(key));
  } catch {
    return false;
  }
}

/** Null where the header is malformed. */
function readHeader(signature: string, header: string): Header | null {
  // Only what the signature covers to the character may be read.
  if (signature.length > signature_chars_max || !/^[A-Za-z0-9_-]+$/.test(header)) return null;
  try {
    const parsed = JSON.parse(Buffer.from(header, 'base64url').toString('utf8')) as unknown;
    if (typeof parsed !== 'object' || parsed === null) return null;
    const { alg, typ, kid } = parsed as { alg?: unknown; typ?: unknown; kid?: unknown };
    if (kid !== undefined && typeof kid !== 'string') return null;
    return { alg, typ, kid, members: Object.keys(parsed) };
  } catch {
    return null;
  }
}
