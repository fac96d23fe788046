import { z } from 'zod';

const Claims = z.object({ exp: z.number() });

/**
 * Whether the secrets service would refuse the allocation token (a compact JWS) because of its age. It is not verified
 * here: whoever could forge it could only keep a bot from being started again. One that cannot be read is for the
 * service to judge.
 */
export function tokenHasEnded(token: string, wall_ms: number): boolean {
  const [, payload] = token.split('.');
  if (payload === undefined) return false;
  try {
    const claims = Claims.safeParse(JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')));
    return claims.success && claims.data.exp * 1000 <= wall_ms;
  } catch {
    // No JSON: not ours to understand.
    return false;
  }
}
