import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { MasterKeys } from '#libs/config';

/**
 * Envelope encryption: a fresh data key encrypts one value, the master key encrypts the data key. Both with
 * AES-256-GCM, 96-bit random nonces (NIST SP 800-38D, 8.2.2: a data key is used once; a master key at most 2^32 times)
 * and the row's identity as additional data, so that a ciphertext moved to another row does not open.
 */
export interface Envelope {
  readonly keyId: string;
  /** nonce (12) | tag (16) | data key encrypted under the master key (32) */
  readonly wrappedKey: Buffer;
  /** nonce (12) | tag (16) | value encrypted under the data key */
  readonly ciphertext: Buffer;
}

const nonce_bytes = 12;
const tag_bytes = 16;
const key_bytes = 32;

export class EnvelopeError extends Error {
  override readonly name = 'EnvelopeError';
}

/** `identity` names the row; the same one is needed to open. */
export function closeEnvelope(value: Buffer, identity: string, masters: MasterKeys): Envelope {
  const dataKey = randomBytes(key_bytes);
  try {
    return {
      keyId: masters.current,
      wrappedKey: encrypt(dataKey, masterKey(masters, masters.current), `${masters.current}\n${identity}`),
      ciphertext: encrypt(value, dataKey, identity),
    };
  } finally {
    dataKey.fill(0);
  }
}

/** Throws `EnvelopeError` when the key is not there or anything was changed. */
export function openEnvelope(envelope: Envelope, identity: string, masters: MasterKeys): Buffer {
  const master = masterKey(masters, envelope.keyId);
  const dataKey = decrypt(envelope.wrappedKey, master, `${envelope.keyId}\n${identity}`);
  try {
    return decrypt(envelope.ciphertext, dataKey, identity);
  } finally {
    dataKey.fill(0);
  }
}

function masterKey(masters: MasterKeys, id: string): Buffer {
  const key = masters.keys.get(id);
  if (key === undefined)
    throw new EnvelopeError(`Master key ${id} is not in the key file; put it back to read what it protects.`);
  return key;
}

function encrypt(value: Buffer, key: Buffer, additional: string): Buffer {
  const nonce = randomBytes(nonce_bytes);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tag_bytes });
  cipher.setAAD(Buffer.from(additional, 'utf8'));
  const body = Buffer.concat([cipher.update(value), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), body]);
}

function decrypt(sealed: Buffer, key: Buffer, additional: string): Buffer {
  if (sealed.length < nonce_bytes + tag_bytes) throw new EnvelopeError('A ciphertext is too short.');
  const nonce = sealed.subarray(0, nonce_bytes);
  const tag = sealed.subarray(nonce_bytes, nonce_bytes + tag_bytes);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: tag_bytes });
  decipher.setAAD(Buffer.from(additional, 'utf8'));
  decipher.setAuthTag(tag);
  try {
    return Buffer.concat([decipher.update(sealed.subarray(nonce_bytes + tag_bytes)), decipher.final()]);
  } catch (cause) {
    throw new EnvelopeError('A ciphertext does not open: it was changed, moved, or is under another key.', {
      cause,
    });
  }
}
