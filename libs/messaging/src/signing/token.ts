import { CompactSign } from 'jose/jws/compact/sign';
import { compactVerify } from 'jose/jws/compact/verify';
import type { z } from 'zod';
import { ProblemError, type PublicJwk } from '#libs/contracts';
import { candidates, importPublicKey } from './signature.js';
import { signatureAlgorithm, type SigningKey } from './signing-key.js';

const token_chars_max = 4096;

export interface TokenOptions {
  /** Says what the token is for (`allocation+jwt`); a verifier takes no other. RFC 8725, 3.11. */
  readonly typ: string;
  /** When it ends, wall clock. Written as `exp`, whole seconds, rounded down. */
  readonly expiresAt: Date;
  readonly issuedAt: Date;
}

/** A compact EdDSA JWS of the claims with `iat` and `exp`. Claims are readable by all: no secrets in them. */
export async function signToken(
  claims: Readonly<Record<string, unknown>>,
  { typ, expiresAt, issuedAt }: TokenOptions,
  key: SigningKey,
): Promise<string> {
  const payload = { ...claims, iat: toSeconds(issuedAt), exp: toSeconds(expiresAt) };
  return new CompactSign(Buffer.from(JSON.stringify(payload), 'utf8'))
    .setProtectedHeader({ alg: signatureAlgorithm, typ, kid: key.publicJwk.kid })
    .sign(key.cryptoKey());
}

export interface VerifyTokenOptions<S extends z.ZodType> {
  readonly typ: string;
  /** What the claims must be, `iat` and `exp` included; pin `iss` and `aud` in it. */
  readonly schema: S;
  readonly keys: PublicJwk | readonly PublicJwk[];
  /** Wall clock of the verifier, milliseconds. */
  readonly now_ms: number;
  /** How far the maker's clock may be off; default 0. */
  readonly skew_ms?: number;
}

/** The claims of a token that is whole, of this `typ`, by one of the keys and not over. Throws `bad_signature`. */
export async function verifyToken<S extends z.ZodType>(
  token: string,
  { typ, schema, keys, now_ms, skew_ms = 0 }: VerifyTokenOptions<S>,
): Promise<z.output<S>> {
  const refuse = (detail: string): ProblemError => new ProblemError('bad_signature', detail);
  if (token.length > token_chars_max) throw refuse('Send the token as it was given: it is too long.');
  const payload = await verifiedPayload(token, typ, keys);
  if (payload === null) throw refuse('Send the token as it was given: its signature does not verify.');
  const claims = schema.safeParse(payload);
  if (!claims.success) throw refuse('Send a token of the right kind: its claims do not fit.');
  const exp = typeof payload === 'object' && 'exp' in payload ? payload.exp : undefined;
  if (typeof exp !== 'number' || exp * 1000 + skew_ms <= now_ms)
    throw refuse('Ask for a new token: this one has ended.');
  return claims.data;
}

async function verifiedPayload(
  token: string,
  typ: string,
  keys: PublicJwk | readonly PublicJwk[],
): Promise<object | null> {
  for (const jwk of candidates(keys, undefined)) {
    try {
      const { payload, protectedHeader } = await compactVerify(token, await importPublicKey(jwk), {
        algorithms: [signatureAlgorithm],
      });
      if (protectedHeader.typ !== typ) return null;
      const parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload)) as unknown;
      return typeof parsed === 'object' ? parsed : null;
    } catch {
      // Any failure means: not by this key.
    }
  }
  return null;
}

const toSeconds = (date: Date): number => Math.floor(date.getTime() / 1000);
