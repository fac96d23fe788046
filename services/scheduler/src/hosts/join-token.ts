import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/** 256 bits cannot be guessed, so that no slow hash is needed to keep them. */
const token_bytes = 32;

/** A new token, as `JoinToken` of the contracts. Nothing may keep it but whoever asked for it. */
export const newJoinToken = (): string => randomBytes(token_bytes).toString('base64url');

/** What is stored of a token: SHA-256 over its text. */
export const joinTokenHash = (token: string): Buffer => createHash('sha256').update(token, 'utf8').digest();

/** Whether the token is the one with this hash; takes the same time whatever it is. */
export const isTokenOf = (hash: Uint8Array, token: string): boolean =>
  timingSafeEqual(hash, joinTokenHash(token));
