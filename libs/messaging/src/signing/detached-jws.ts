import { sign, verify, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';

/**
 * Ed25519 over the signing input of a JWS (RFC 7515, 5.1; RFC 8037), in the thread pool. Events and commands are signed
 * and verified all the time: by `node:crypto` the main thread spends a third of what it does by WebCrypto, which jose
 * goes through. The bytes are the same.
 */
const signBytes = promisify(sign);
const verifyBytes = promisify(verify);

/** 64 bytes in base64url. Node's own decoder skips what does not belong. */
const ed25519Signature = /^[A-Za-z0-9_-]{86}$/;

const signingInput = (header: string, payload: Uint8Array): Buffer => {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  return Buffer.from(`${header}.${bytes.toString('base64url')}`, 'latin1');
};

/** The signature, base64url. `header` is the protected header as it is sent, base64url. */
export async function signDetached(header: string, payload: Uint8Array, key: KeyObject): Promise<string> {
  return (await signBytes(null, signingInput(header, payload), key)).toString('base64url');
}

/** Whether the key signed exactly this header and payload. What the header says is for the caller to check. */
export async function isSigned(
  header: string,
  payload: Uint8Array,
  signature: string,
  key: KeyObject,
): Promise<boolean> {
  if (!ed25519Signature.test(signature)) return false;
  return await verifyBytes(null, signingInput(header, payload), key, Buffer.from(signature, 'base64url'));
}
