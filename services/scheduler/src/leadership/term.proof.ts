import { verifyToken, signToken, type SigningKey } from '#libs/messaging';
import { z } from 'zod';

/** Kind of the token; no other token of ours passes for it. */
const typ = 'tradefleet-term+jwt';
const Claims = z.strictObject({
  iss: z.literal('tradefleet-scheduler'),
  term: z.int().min(1),
  iat: z.number(),
  exp: z.number(),
});
/** That there was a term does not end. */
const expiresAt = new Date(Date.UTC(9999, 0));

/** What an agent keeps of a leader's term, and shows to every later leader. */
export const signTermProof = async (term: number, issuedAt: Date, key: SigningKey): Promise<string> =>
  await signToken({ iss: 'tradefleet-scheduler', term }, { typ, expiresAt, issuedAt }, key);

/** The term that a scheduler with this key has led in. Throws `bad_signature`. */
export async function provenTerm(proof: string, key: SigningKey, now_ms: number): Promise<number> {
  const claims = await verifyToken(proof, { typ, schema: Claims, keys: key.publicJwk, now_ms });
  return claims.term;
}
