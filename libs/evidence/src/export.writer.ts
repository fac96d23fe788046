import type { ApiName, ApiRequest, ApiResponse, LogCheckpoint, LogEntry } from '#libs/contracts';
import type { ExportHeader, ExportMarker } from './export.format.js';

/** Whoever answers the operations of the log. */
export interface LogSource {
  call<N extends ApiName>(name: N, request: ApiRequest<N>): Promise<ApiResponse<N>>;
}

export interface ExportOptions {
  /** Position to begin with. Default 0. */
  readonly from?: number;
  /** Position to end before. Default: what there is at the beginning. */
  readonly to?: number;
  readonly exportedAt: Date;
  /** Records to ask for at once. */
  readonly pageRecords?: number;
}

/** How far it is. */
export interface ExportProgress {
  readonly position: number;
  readonly to: number;
}

/** What is written between two pages of the fleet's answers. */
export interface ExportPiece {
  readonly text: string;
  readonly progress: ExportProgress;
  /** Whose records are left out, as far as they are met here for the first time. */
  readonly archives: readonly LeftOut[];
}

/** An archive that has records which an export leaves out. */
export interface LeftOut {
  readonly archive: string;
  /** Position of the record by which the log tells of it, the first of several; null: the log does not. */
  readonly toldAt: number | null;
}

/** Looks for the end of a log that grows meanwhile. */
const ends_max = 10;
const pageRecords_default = 1000;

/** Writes the log as a file, a page at a time: memory does not depend on its size. Throws what the source throws. */
export async function* exportLog(source: LogSource, options: ExportOptions): AsyncGenerator<ExportPiece> {
  const { from = 0, exportedAt, pageRecords = pageRecords_default } = options;
  const state = await source.call('log.checkpoint', {});
  const to = Math.min(options.to ?? state.size, state.size);
  const isWhole = options.to === undefined;
  const pen = new Pen(from, to, new Checkpoints(source, from), source);
  for (
    let next: number | null = from, isFirst = true;
    isFirst || (next !== null && next < to);
    isFirst = false
  ) {
    const page: ApiResponse<'log.records'> = await source.call('log.records', {
      from: next ?? to,
      limit: pageRecords,
      frontier: isFirst,
    });
    if (isFirst)
      pen.header({
        ...{ export: 1, origin: state.origin, from, size: to, isWhole, frontier: page.frontier ?? '' },
        ...{ key: state.key, exportedAt: exportedAt.toISOString() },
      });
    next = page.next;
    await pen.entries(page.entries);
    yield pen.piece();
  }
  await pen.close();
  if (isWhole) {
    // Made before the size was read: one of a larger size says that the end was cut off.
    if (state.checkpoint !== null && state.checkpoint.size > to) pen.checkpoint(state.checkpoint);
    for (const entry of await beyond(source, to)) pen.beyond(entry);
  }
  pen.end();
  yield pen.piece();
}

/** Rows at positions behind the head, wherever that is by now. */
async function beyond(source: LogSource, size: number): Promise<readonly LogEntry[]> {
  let from = size;
  for (let look = 0; look < ends_max; look += 1) {
    const page = await source.call('log.records', { from, limit: 1 });
    if (page.next === null) return page.beyond;
    from = page.size;
  }
  return [];
}

/** Writes lines in the order of the log. */
class Pen {
  private text: string[] = [];
  private position: number;
  private last = -1;
  private readonly counts = { records: 0, archived: 0, checkpoints: 0 };
  private readonly archives = new Set<string>();
  private leftOut: LeftOut[] = [];

  constructor(
    from: number,
    private readonly to: number,
    private readonly checkpoints: Checkpoints,
    private readonly source: LogSource,
  ) {
    this.position = from;
  }

  header(header: ExportHeader): void {
    this.text.push(JSON.stringify(header));
  }

  async entries(entries: readonly LogEntry[]): Promise<void> {
    for (const entry of entries) {
      if (entry.position >= this.to) return;
      await this.advance(entry.position);
      if (entry.archived !== null) await this.tell(entry.archived.archive);
      this.entry(entry);
    }
  }

  async close(): Promise<void> {
    await this.advance(this.to);
  }

  beyond({ position, line }: LogEntry): void {
    this.marker({ beyond: { position, line } });
  }

  end(): void {
    this.marker({ end: this.counts });
  }

  piece(): ExportPiece {
    const text = this.text.map((line) => `${line}\n`).join('');
    const archives = this.leftOut;
    this.text = [];
    this.leftOut = [];
    return { text, archives, progress: { position: this.position, to: this.to } };
  }

  /** What the log says of an archive stands before the first record that the archive has. */
  private async tell(archive: string): Promise<void> {
    if (this.archives.has(archive)) return;
    this.archives.add(archive);
    let toldAt: number | null = null;
    for (let next: string | null = null, isFirst = true; isFirst || next !== null; isFirst = false) {
      const page: ApiResponse<'archives.records'> = await this.source.call('archives.records', {
        archive,
        ...(next === null ? {} : { after: next }),
      });
      for (const record of page.records) this.marker({ archive: { archive, ...record } });
      toldAt ??= page.records[0]?.position ?? null;
      next = page.next;
    }
    this.leftOut.push({ archive, toldAt });
  }

  private entry({ position, line, archived }: LogEntry): void {
    if (line !== null) {
      this.text.push(line);
      this.counts.records += 1;
    } else if (archived !== null) {
      const { archive, leaf } = archived;
      this.marker({ archived: { from: position, archive, leaves: leaf } });
      this.counts.archived += 1;
    }
    this.position = position + 1;
    this.last = position;
  }

  /** Tells of what is not there, and of the checkpoints on the way. */
  private async advance(position: number): Promise<void> {
    // A second row of one position is written as it stands.
    if (position === this.last) return;
    await this.checkpointsUpTo(this.position);
    if (this.position < position) this.marker({ missing: [this.position, position] });
    this.position = position;
    await this.checkpointsUpTo(position);
  }

  private async checkpointsUpTo(size: number): Promise<void> {
    if (!this.checkpoints.mayHave(size)) return;
    for (const checkpoint of await this.checkpoints.upTo(size)) this.checkpoint(checkpoint);
  }

  checkpoint(checkpoint: LogCheckpoint): void {
    this.marker({ checkpoint });
    this.counts.checkpoints += 1;
  }

  private marker(marker: ExportMarker): void {
    this.text.push(JSON.stringify(marker));
  }
}

/** The checkpoints of the log by size, a page at a time. */
class Checkpoints {
  private ahead: LogCheckpoint[] = [];
  /** Cursor of the next page; null when there is none. */
  private next: string | null;

  constructor(
    private readonly source: LogSource,
    from: number,
  ) {
    this.next = `${from}`;
  }

  mayHave(size: number): boolean {
    const [first] = this.ahead;
    return first === undefined ? this.next !== null : first.size <= size;
  }

  /** Those of this size or a smaller one that were not given yet. */
  async upTo(size: number): Promise<LogCheckpoint[]> {
    const found: LogCheckpoint[] = [];
    while (this.mayHave(size)) {
      if (this.ahead.length === 0) await this.read();
      const end = this.ahead.findIndex((checkpoint) => checkpoint.size > size);
      found.push(...this.ahead.splice(0, end === -1 ? this.ahead.length : end));
    }
    return found;
  }

  private async read(): Promise<void> {
    if (this.next === null) return;
    const page = await this.source.call('log.checkpoints', { order: 'asc', after: this.next, limit: 500 });
    this.ahead = page.checkpoints;
    this.next = page.next;
  }
}
