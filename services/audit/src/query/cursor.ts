import { Id } from '#libs/contracts';
import { refusal } from '../errors.js';

/** A place in the order of time: of the last event of a page. */
export interface Cursor {
  readonly time: string;
  readonly id: string;
  /** Of the log when the first page was made: what is recorded later is on none that follows. */
  readonly size: number;
}

/** Opaque to clients: its form may change. */
export function encodeCursor({ time, id, size }: Cursor): string {
  return Buffer.from(`${Date.parse(time)} ${id} ${size}`, 'utf8').toString('base64url');
}

/** Throws `invalid_request` for what `encodeCursor` did not make. */
export function decodeCursor(text: string): Cursor {
  const [ms = '', id = '', size = ''] = Buffer.from(text, 'base64url').toString('utf8').split(' ');
  const instant = new Date(Number(ms));
  const isCursor = /^-?\d{1,15}$/.test(ms) && /^\d{1,15}$/.test(size) && Id.safeParse(id).success;
  if (!isCursor || Number.isNaN(instant.getTime())) throw refusal.badCursor();
  return { time: instant.toISOString(), id, size: Number(size) };
}
