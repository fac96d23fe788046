/** Lines of a note that are held at most; a file that is none does not fill the memory. */
const lines_max = 128;

/**
 * Finds the notes in a text that holds several, with blank lines between them, line by line. What was torn when its writer
 * ended is left out: a text without signatures, or lines that belong to nothing. Whether a note is signed is not looked at.
 */
export class NoteReader {
  private text: string[] = [];
  private signatures: string[] = [];
  /** A blank line has ended the text. */
  private isSigned = false;

  /** Takes the next line, without its line feed. Gives a note when this line ends one. */
  take(line: string): string | null {
    if (line.startsWith('— ') && this.isSigned) {
      if (this.signatures.length < lines_max) this.signatures.push(line);
      return null;
    }
    if (line === '') return this.blank();
    if (this.isSigned || this.text.length === lines_max) this.forget();
    this.text.push(line);
    return null;
  }

  /** After the last line: the note that it ended, if it did. */
  end(): string | null {
    return this.signatures.length > 0 ? this.note() : null;
  }

  private blank(): string | null {
    if (this.signatures.length > 0) return this.note();
    if (this.isSigned) this.forget();
    else this.isSigned = this.text.length > 0;
    return null;
  }

  private note(): string {
    const note = `${this.text.join('\n')}\n\n${this.signatures.join('\n')}\n`;
    this.forget();
    return note;
  }

  private forget(): void {
    this.text = [];
    this.signatures = [];
    this.isSigned = false;
  }
}

/** All notes of a text. */
export function readNotes(text: string): string[] {
  const reader = new NoteReader();
  const notes = text.split('\n').map((line) => reader.take(line));
  return [...notes, reader.end()].filter((note) => note !== null);
}
