import { createHash } from 'node:crypto';

/**
 * JSON with the members of every object in the order of their UTF-16 code units and without `undefined`, so that
 * equal values give equal text whatever order they were written in (RFC 8785, section 3.2.3).
 */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) => {
    if (member === null || typeof member !== 'object' || Array.isArray(member)) return member;
    return Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  });
}

/** SHA-256, 64 hexadecimal digits, over the canonical JSON. */
export const canonicalHash = (value: unknown): string =>
  createHash('sha256').update(canonicalJson(value), 'utf8').digest('hex');

/** Whether two JSON values are equal, whatever the order of their members. */
export const sameJson = (a: unknown, b: unknown): boolean => canonicalJson(a) === canonicalJson(b);
