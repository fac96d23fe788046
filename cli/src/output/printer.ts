import { ProblemError } from '#libs/contracts';
import Table from 'cli-table3';
import { styleText } from 'node:util';
import { exitCodeOf } from '../exit.codes.js';
import type { Output, Surroundings } from '../surroundings.js';
import { plainText } from './plain.text.js';

export type Tone = 'good' | 'bad' | 'busy' | 'dim' | 'bold' | 'plain';

/** A table cell: text, or text with a tone. `null` shows as a dash. */
export type Cell = string | number | null | { readonly text: string; readonly tone: Tone };
export interface Column {
  readonly head: string;
  readonly align?: 'left' | 'right';
}

const styles = { good: 'green', bad: 'red', busy: 'yellow', dim: 'dim', bold: 'bold' } as const;

/** Answers go to standard output: tables and sentences for people, a JSON document a line for machines. */
export class Printer {
  private readonly out: Output;
  private readonly err: Output;
  private shownProgress = '';

  constructor(
    private readonly surroundings: Pick<Surroundings, 'stdout' | 'stderr' | 'env'>,
    /** Whether the answers are for machines. */
    readonly json: boolean,
  ) {
    this.out = surroundings.stdout;
    this.err = surroundings.stderr;
  }

  /** For machines one line of JSON; for people whatever `show` writes. */
  answer(document: unknown, show: () => void): void {
    if (this.json) this.document(document);
    else show();
  }

  /** For machines a line for each row; for people a table, or `none` when there is no row. */
  rows<T>(
    rows: readonly T[],
    columns: readonly Column[],
    cells: (row: T) => readonly Cell[],
    none: string,
  ): void {
    if (this.json) for (const row of rows) this.document(row);
    else if (rows.length === 0) this.line(none);
    else this.table(columns, rows.map(cells));
  }

  document(document: unknown): void {
    this.out.write(`${JSON.stringify(document)}\n`);
  }

  /** One line for people; its control characters are made visible. */
  line(text: string, tone: Tone = 'plain'): void {
    this.clearProgress();
    this.out.write(`${this.paint(plainText(text), tone, this.out)}\n`);
  }

  /** Labels and values, one a line. */
  sheet(entries: readonly (readonly [label: string, value: Cell])[]): void {
    const width = Math.max(...entries.map(([label]) => label.length));
    for (const [label, value] of entries)
      this.out.write(`${this.paint(label.padEnd(width), 'dim', this.out)}  ${this.cell(value)}\n`);
  }

  table(columns: readonly Column[], rows: readonly (readonly Cell[])[]): void {
    const table = new Table({
      chars: borderless,
      head: columns.map(({ head }) => this.paint(head, 'bold', this.out)),
      colAligns: columns.map(({ align }) => align ?? 'left'),
      style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    });
    for (const row of rows) table.push(row.map((cell) => this.cell(cell)));
    const text = table
      .toString()
      .split('\n')
      .map((line) => line.trimEnd());
    this.out.write(`${text.join('\n')}\n`);
  }

  /** Something worth knowing that is not the answer; on standard error. */
  note(text: string): void {
    this.clearProgress();
    this.err.write(`${plainText(text)}\n`);
  }

  /** How far something is: rewritten on a terminal, elsewhere a line for each change; never for machines. */
  progress(text: string): void {
    if (this.json || text === this.shownProgress) return;
    this.shownProgress = text;
    this.err.write(this.err.isTTY === true ? `\r\x1b[2K${plainText(text)}` : `${plainText(text)}\n`);
  }

  /** `code: detail` for what a caller can act on, with the fields that do not fit; a defect with its stack. */
  problem(error: unknown): void {
    this.clearProgress();
    if (this.json && error instanceof ProblemError) {
      this.err.write(`${JSON.stringify(error.toProblem())}\n`);
      return;
    }
    this.err.write(`${this.paint(plainLines(messageOf(error)), 'bad', this.err)}\n`);
  }

  private clearProgress(): void {
    if (this.shownProgress !== '' && this.err.isTTY === true) this.err.write('\r\x1b[2K');
    this.shownProgress = '';
  }

  private cell(cell: Cell): string {
    if (cell === null) return this.paint('-', 'dim', this.out);
    if (typeof cell === 'object') return this.paint(plainText(cell.text), cell.tone, this.out);
    return plainText(String(cell));
  }

  /** Colours on a terminal only, and not when NO_COLOR is set (no-color.org). */
  private paint(text: string, tone: Tone, stream: Output): string {
    const { NO_COLOR, TERM } = this.surroundings.env;
    const wanted = stream.isTTY === true && (NO_COLOR ?? '') === '' && TERM !== 'dumb';
    return wanted && tone !== 'plain' ? styleText(styles[tone], text, { validateStream: false }) : text;
  }
}

const plainLines = (text: string): string => text.split('\n').map(plainText).join('\n');

function messageOf(error: unknown): string {
  if (error instanceof ProblemError) {
    const fields = error.options.errors ?? [];
    // The detail names the first few fields; a list is worth its lines only when there are more.
    const more =
      fields.length > 3 ? fields.map(({ path, message }) => `\n  ${path}: ${message}`).join('') : '';
    return `${error.code}: ${error.detail}${more}`;
  }
  if (exitCodeOf(error) !== null && error instanceof Error) return error.message;
  return `defect: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}

const borderless = {
  ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '' },
  ...{ bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' },
  ...{ left: '', 'left-mid': '', mid: '', 'mid-mid': '' },
  ...{ right: '', 'right-mid': '', middle: '  ' },
};
