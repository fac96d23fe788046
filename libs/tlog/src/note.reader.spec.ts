import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { readNotes } from './note.reader.js';

const note = (size: number): string => `log\n${size}\nroot\n\n— log c2ln${size}\n`;
const two = `${note(1)}\n${note(2)}`;

describe('notes in a file', () => {
  it('are read one by one', () => {
    expect(readNotes('')).toEqual([]);
    expect(readNotes(note(1))).toEqual([note(1)]);
    expect(readNotes(two)).toEqual([note(1), note(2)]);
  });

  it('are read though one before them was torn anywhere', () => {
    fc.assert(
      fc.property(fc.nat(note(3).length - 1), (length) => {
        const torn = note(3).slice(0, length);
        const notes = readNotes(`${two}\n${torn}\n\n${note(4)}`);
        expect(notes).toEqual(expect.arrayContaining([note(1), note(2), note(4)]));
        // A torn signature line cannot be told from a whole one here; it does not verify.
        expect(notes.length).toBeLessThanOrEqual(4);
      }),
    );
  });

  it('hold nothing of a file that is something else', () => {
    expect(readNotes('a line\n'.repeat(1000))).toEqual([]);
    expect(readNotes('\n\n\n— log c2ln\n\n')).toEqual([]);
  });
});
