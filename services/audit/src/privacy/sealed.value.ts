import { Unreadable, type SubjectKey } from './subject.key.js';

const form = /^sealed:([0-9a-f-]{36}):([A-Za-z0-9_-]+)$/;

/** Where a value is: an event and a field of its data, or one of its attributes. */
export const placeIn = (eventId: string, field: string): string => `${eventId}\n${field}`;

/** `sealed:<subject>:<base64url of nonce, ciphertext and tag>` */
export const sealText = (key: SubjectKey, text: string, place: string): string =>
  `sealed:${key.id}:${key.seal(text, place).toString('base64url')}`;

export const isSealed = (value: unknown): value is string => typeof value === 'string' && form.test(value);

/** What was sealed; null where the value is not of this key. Throws `Unreadable` for one that was changed or moved. */
export function openText(key: SubjectKey, value: string, place: string): string | null {
  const [, subject, text] = form.exec(value) ?? [];
  if (subject !== key.id || text === undefined) return null;
  const bytes = Buffer.from(text, 'base64url');
  // Base64url of other characters at the end can be the same bytes.
  if (bytes.toString('base64url') !== text) throw new Unreadable();
  return key.open(bytes, place);
}
