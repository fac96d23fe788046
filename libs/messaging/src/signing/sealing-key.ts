import { compactDecrypt } from 'jose/jwe/compact/decrypt';
import { CompactEncrypt } from 'jose/jwe/compact/encrypt';
import { calculateJwkThumbprint } from 'jose/jwk/thumbprint';
import { exportJWK } from 'jose/key/export';
import { generateKeyPair } from 'jose/key/generate/keypair';
import { importJWK } from 'jose/key/import';
import type { CryptoKey } from 'jose';
import { ProblemError, type PublicJwk } from '#libs/contracts';
import { createKeyFile, fileExists, PrivateJwk, readKeyFile } from './key-file.js';

const wrapping = 'ECDH-ES+A256KW';
const encryption = 'A256GCM';
const sealed_chars_max = 8192;

/** An X25519 key pair: what is sealed to the public half opens here alone. */
export class SealingKey {
  private constructor(
    private readonly key: CryptoKey,
    private readonly privateJwk: PrivateJwk,
    /** Give it to whoever seals; `kid` is the RFC 7638 thumbprint. */
    readonly publicJwk: PublicJwk & { readonly kid: string },
  ) {}

  static async generate(): Promise<SealingKey> {
    const { privateKey } = await generateKeyPair(wrapping, { crv: 'X25519', extractable: true });
    return SealingKey.fromJwk(PrivateJwk.parse(await exportJWK(privateKey)));
  }

  static async fromJwk(jwk: PrivateJwk): Promise<SealingKey> {
    if (jwk.crv !== 'X25519') throw new Error('A sealing key must be an X25519 key.');
    const { kty, crv, x, d } = jwk;
    const key = await importJWK({ kty, crv, x, d }, wrapping);
    if (key instanceof Uint8Array) throw new Error('A sealing key must be an X25519 key.');
    const kid = await calculateJwkThumbprint({ kty, crv, x });
    return new SealingKey(key, jwk, { kty: 'OKP', crv: 'X25519', x, kid });
  }

  /** Reads the key from a file of mode 0600; with `create`, makes it where there is none. */
  static async fromFile(path: string, { create = false } = {}): Promise<SealingKey> {
    if (create && !(await fileExists(path))) {
      const made = await SealingKey.generate();
      await createKeyFile(path, made.privateJwk);
    }
    return SealingKey.fromJwk(await readKeyFile(path));
  }

  /** Writes the key into a new file of mode 0600; false when there is one already. */
  async toNewFile(path: string): Promise<boolean> {
    return createKeyFile(path, this.privateJwk);
  }

  /** What was sealed to this key. Throws `invalid_request` for anything else; never says what was inside. */
  async open(sealed: string): Promise<Uint8Array> {
    if (sealed.length <= sealed_chars_max) {
      try {
        const { plaintext } = await compactDecrypt(sealed, this.key, {
          keyManagementAlgorithms: [wrapping],
          contentEncryptionAlgorithms: [encryption],
        });
        return plaintext;
      } catch {
        // The reason would help only whoever probes.
      }
    }
    throw new ProblemError(
      'invalid_request',
      `Seal to the current key as a compact JWE (${wrapping}, ${encryption}): this does not open.`,
    );
  }
}

/** Seals bytes to the holder of the private half: a compact JWE. Throws for a key that is not X25519. */
export async function seal(bytes: Uint8Array, publicJwk: PublicJwk): Promise<string> {
  if (publicJwk.crv !== 'X25519')
    throw new ProblemError('invalid_request', 'Give an X25519 key: others cannot be sealed to.');
  const { kty, crv, x } = publicJwk;
  const key = await importJWK({ kty, crv, x }, wrapping);
  const kid = publicJwk.kid ?? (await calculateJwkThumbprint({ kty, crv, x }));
  return new CompactEncrypt(bytes).setProtectedHeader({ alg: wrapping, enc: encryption, kid }).encrypt(key);
}
