import { createPrivateKey, createPublicKey, sign as signBytes, type KeyObject } from 'node:crypto';
import { calculateJwkThumbprint } from 'jose/jwk/thumbprint';
import { exportJWK } from 'jose/key/export';
import { generateKeyPair } from 'jose/key/generate/keypair';
import { importJWK } from 'jose/key/import';
import type { CryptoKey } from 'jose';
import type { PublicJwk } from '#libs/contracts';
import { signDetached } from './detached-jws.js';
import { createKeyFile, fileExists, PrivateJwk, readKeyFile } from './key-file.js';

/** `typ` of detached signatures; tokens carry their own, so that neither passes for the other. */
export const signatureType = 'tradefleet-signature';
export const signatureAlgorithm = 'EdDSA';

/** An Ed25519 key pair. The private half never leaves the object but into a key file. */
export class SigningKey {
  /** Protected header of every detached signature of this key, base64url. */
  private readonly header: string;

  private constructor(
    private readonly key: CryptoKey,
    private readonly keyObject: KeyObject,
    private readonly privateJwk: PrivateJwk,
    /** Give it to whoever verifies; `kid` is the RFC 7638 thumbprint. */
    readonly publicJwk: PublicJwk & { readonly kid: string },
  ) {
    const header = { alg: signatureAlgorithm, typ: signatureType, kid: publicJwk.kid };
    this.header = Buffer.from(JSON.stringify(header), 'utf8').toString('base64url');
  }

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
    const keyObject = createPrivateKey({ key: { kty, crv, x, d }, format: 'jwk' });
    return new SigningKey(key, keyObject, jwk, { kty: 'OKP', crv: 'Ed25519', x, kid });
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
    return `${this.header}..${await signDetached(this.header, bytes, this.keyObject)}`;
  }

  /** For signatures in forms of others, such as notes: the bare 64 bytes, and the half that checks them. */
  rawSigner(): { readonly publicKey: KeyObject; sign(bytes: Uint8Array): Buffer } {
    const { keyObject } = this;
    return { publicKey: createPublicKey(keyObject), sign: (bytes) => signBytes(null, bytes, keyObject) };
  }

  /** For the makers of tokens in this folder. */
  cryptoKey(): CryptoKey {
    return this.key;
  }
}
