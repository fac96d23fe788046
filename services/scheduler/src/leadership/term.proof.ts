import { verifyToken, signToken, type SigningKey } from '#libs/messaging';
import { z } from 'zod';
import type { TermMark } from './term.lineage.js';

/** Kind of the token; no other token of ours passes for it. */
const typ = 'tradefleet-term+jwt';
const Claims = z.strictObject({
  iss: z.literal('tradefleet-scheduler'),
  term: z.int().min(1),
  holder: z.string().max(300).optional(),
  placements: z.int().min(0).optional(),
  iat: z.number(),
  exp: z.number(),
});
/** That there was a term does not end. */
const expiresAt = new Date(Date.UTC(9999, 0));

/** What an agent keeps of a leader's term, and shows to every later leader. */
export const signTermProof = async (mark: TermMark, issuedAt: Date, key: SigningKey): Promise<string> =>
  await signToken({ iss: 'tradefleet-scheduler', ...mark }, { typ, expiresAt, issuedAt }, key);

/** What a scheduler with this key has told of its term. Throws `bad_signature`. */
export async function provenTerm(proof: string, key: SigningKey, now_ms: number): Promise<TermMark> {
  const claims = await verifyToken(proof, { typ, schema: Claims, keys: key.publicJwk, now_ms });
  const { term, holder, placements } = claims;
  return { term, holder, placements };
}
