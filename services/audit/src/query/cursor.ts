import { Id } from '#libs/contracts';
import { refusal } from '../errors.js';

/** A place in the order of time: of the last event of a page. */
export interface Cursor {
  readonly time: string;
  readonly id: string;
}

/** Opaque to clients: its form may change. */
export function encodeCursor({ time, id }: Cursor): string {
  return Buffer.from(`${Date.parse(time)} ${id}`, 'utf8').toString('base64url');
}

/** Throws `invalid_request` for what `encodeCursor` did not make. */
export function decodeCursor(text: string): Cursor {
  const [ms = '', id = ''] = Buffer.from(text, 'base64url').toString('utf8').split(' ');
  const instant = new Date(Number(ms));
  if (!/^-?\d{1,15}$/.test(ms) || Number.isNaN(instant.getTime()) || !Id.safeParse(id).success)
    throw refusal.badCursor();
  return { time: instant.toISOString(), id };
}
