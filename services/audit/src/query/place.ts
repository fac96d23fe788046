import type { z } from 'zod';
import { refusal } from '../errors.js';

/** The place in a list where a page ends, as a caller gives it back: opaque, not secret. */
export const encodePlace = (place: object): string =>
  Buffer.from(JSON.stringify(place), 'utf8').toString('base64url');

/** Throws `invalid_request` for what `encodePlace` has not made. */
export function decodePlace<S extends z.ZodType>(schema: S, text: string): z.output<S> {
  try {
    return schema.parse(JSON.parse(Buffer.from(text, 'base64url').toString('utf8')));
  } catch {
    // Whatever it is that cannot be read, it is the caller's.
    throw refusal.badCursor();
  }
}
