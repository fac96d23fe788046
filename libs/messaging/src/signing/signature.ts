import { flattenedVerify } from 'jose/jws/flattened/verify';
import { importJWK } from 'jose/key/import';
import type { CryptoKey } from 'jose';
import { ProblemError, type PublicJwk } from '#libs/contracts';
import { signatureAlgorithm, signatureType } from './signing-key.js';

const signature_chars_max = 1024;
const imported_max = 4096;
const imported = new Map<string, CryptoKey>();

/** Imported once: a scheduler verifies the same hosts again and again. Oldest out first. */
export async function importPublicKey(jwk: PublicJwk): Promise<CryptoKey> {
  const cached = imported.get(`${jwk.crv}.${jwk.x}`);
  if (cached !== undefined) return cached;
  const key = await importJWK({ kty: jwk.kty, crv: jwk.crv, x: jwk.x }, signatureAlgorithm);
  if (key instanceof Uint8Array) throw new Error('Not a public key.');
  if (imported.size >= imported_max) imported.delete(imported.keys().next().value ?? '');
  imported.set(`${jwk.crv}.${jwk.x}`, key);
  return key;
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
  const [header = '', payload, value = '', ...more] = signature.split('.', 4);
  const kid = payload === '' && more.length === 0 ? kidOf(signature, header) : null;
  if (kid === null)
    throw new ProblemError('bad_signature', 'Send the signature as a detached JWS: <header>..<signature>.');
  for (const jwk of candidates(keys, kid)) {
    try {
      const { protectedHeader } = await flattenedVerify(
        {
          protected: header,
          payload: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url'),
          signature: value,
        },
        await importPublicKey(jwk),
        { algorithms: [signatureAlgorithm] },
      );
      if (protectedHeader?.typ === signatureType) return;
    } catch {
      // Any failure means: not by this key.
    }
  }
  throw new ProblemError(
    'bad_signature',
    'Sign the message, unchanged, with the registered key: the signature does not verify.',
  );
}

/** Key id of a well-formed header, undefined where it names none, null where the header is malformed. */
function kidOf(signature: string, header: string): string | undefined | null {
  if (signature.length > signature_chars_max) return null;
  try {
    const parsed = JSON.parse(Buffer.from(header, 'base64url').toString('utf8')) as unknown;
    if (typeof parsed !== 'object' || parsed === null) return null;
    if (!('kid' in parsed)) return undefined;
    return typeof parsed.kid === 'string' ? parsed.kid : null;
  } catch {
    return null;
  }
}
