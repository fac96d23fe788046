import { calculateJwkThumbprint } from 'jose/jwk/thumbprint';
import { FlattenedSign } from 'jose/jws/flattened/sign';
import { exportJWK } from 'jose/key/export';
import { generateKeyPair } from 'jose/key/generate/keypair';
import { importJWK } from 'jose/key/import';
import type { CryptoKey } from 'jose';
import type { PublicJwk } from '#libs/contracts';
import { createKeyFile, fileExists, PrivateJwk, readKeyFile } from './key-file.js';

/** `typ` of detached signatures; tokens carry their own, so that neither passes for the other. */
export const signatureType = 'tradefleet-signature';
export const signatureAlgorithm = 'EdDSA';

/** An Ed25519 key pair. The private half never leaves the object but into a key file. */
export class SigningKey {
  private constructor(
    private readonly key: CryptoKey,
    private readonly privateJwk: PrivateJwk,
    /** Give it to whoever verifies; `kid` is the RFC 7638 thumbprint. */
    readonly publicJwk: PublicJwk & { readonly kid: string },
  ) {}

  static async generate(): Promise<SigningKey> {
    const { privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
    return SigningKey.fromJwk(PrivateJwk.parse(await exportJWK(privateKey)));
  }

  /** Throws for anything but a private Ed25519 key. */
  static async fromJwk(jwk: PrivateJwk): Promise<SigningKey> {
    if (jwk.crv !== 'Ed25519') throw new Error('A signing key must be an Ed25519 key.');
    const { kty, crv, x, d } = jwk;
    const key = await importJWK({ kty, crv, x, d }, signatureAlgorithm);
    if (key instanceof Uint8Array) throw new Error('A signing key must be an Ed25519 key.');
    const kid = await calculateJwkThumbprint({ kty, crv, x });
    return new SigningKey(key, jwk, { kty: 'OKP', crv: 'Ed25519', x, kid });
  }

  /** Reads the key from a file of mode 0600; with `create`, makes it where there is none. */
  static async fromFile(path: string, { create = false } = {}): Promise<SigningKey> {
    if (create && !(await fileExists(path))) {
      const made = await SigningKey.generate();
      await createKeyFile(path, made.privateJwk);
    }
    return SigningKey.fromJwk(await readKeyFile(path));
  }

  /** Writes the key into a new file of mode 0600; false when there is one already. */
  async toNewFile(path: string): Promise<boolean> {
    return createKeyFile(path, this.privateJwk);
  }

  /** A detached JWS over the bytes (RFC 7515, appendix F): `<header>..<signature>`. */
  async sign(bytes: Uint8Array): Promise<string> {
    const jws = await new FlattenedSign(bytes)
      .setProtectedHeader({ alg: signatureAlgorithm, typ: signatureType, kid: this.publicJwk.kid })
      .sign(this.key);
    return `${jws.protected ?? ''}..${jws.signature}`;
  }

  /** For the makers of tokens in this folder. */
  cryptoKey(): CryptoKey {
    return this.key;
  }
}
