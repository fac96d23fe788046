import { randomBytes } from 'node:crypto';

/**
 * A name no other test has, valid as a contracts `Name` (lower case, at most 40 characters): parallel tests share
 * servers and hosts. `prefix` has at most 27 characters.
 */
export function uniqueName(prefix: string): string {
  if (!/^[a-z0-9][a-z0-9-]{0,26}$/.test(prefix)) {
    throw new Error(`The prefix "${prefix}" must be 1 to 27 lower case letters, digits or inner hyphens`);
  }
  return `${prefix}-${randomBytes(6).toString('hex')}`;
}
