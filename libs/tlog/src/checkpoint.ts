import { hash_bytes, requireHash, requireSize } from './hash.js';
import { NoteInvalid } from './note.js';

/** What a log commits itself to: its first `size` records have this root. */
export interface Checkpoint {
  /** Names the log; one line. */
  readonly origin: string;
  readonly size: number;
  readonly root: Buffer;
  /** Further lines; none is understood here. */
  readonly extensions?: readonly string[] | undefined;
}

/** The text of a checkpoint as C2SP tlog-checkpoint has it: origin, size, root in base64, extensions; a line each. */
export function checkpointText({ origin, size, root, extensions = [] }: Checkpoint): string {
  requireSize(size);
  requireHash(root);
  const lines = [origin, `${size}`, root.toString('base64'), ...extensions];
  if (lines.some((line) => line === '' || line.includes('\n')))
    throw new NoteInvalid('A line of a checkpoint is empty or is two.');
  return `${lines.join('\n')}\n`;
}

/** Reads the text of an opened note. Throws `NoteInvalid` when it is none of a checkpoint. */
export function parseCheckpoint(text: string): Checkpoint & { readonly extensions: readonly string[] } {
  const lines = text.split('\n');
  if (lines.pop() !== '') throw new NoteInvalid('A checkpoint ends with a line feed.');
  const [origin = '', size = '', root = '', ...extensions] = lines;
  const bytes = Buffer.from(root, 'base64');
  const isCheckpoint =
    origin !== '' &&
    /^(0|[1-9][0-9]{0,15})$/.test(size) &&
    Number.isSafeInteger(Number(size)) &&
    bytes.length === hash_bytes &&
    bytes.toString('base64') === root &&
    !extensions.includes('');
  if (!isCheckpoint) throw new NoteInvalid('This is no checkpoint: origin, size and root, a line each.');
  return { origin, size: Number(size), root: bytes, extensions };
}
