import type { KeyObject } from 'node:crypto';
import type { PublicJwk } from '#libs/contracts';
import { Frontier, leafHash, splitHashes, type Checkpoint } from '#libs/tlog';
import {
  ExportInvalid,
  idOf,
  type ExportHeader,
  type ExportItem,
  type ExportMarker,
} from './export.format.js';
import { Excuses, type ToldArchive } from './excuses.js';
import { nameDifference, type Finding, type FindingKind } from './finding.js';
import { EvidenceDamaged } from './evidence.damaged.js';
import { Seen } from './seen.js';
import { toKeyObject, type Evidence, openCheckpoint } from './witness.reader.js';

export interface VerifyOptions {
  /** Begins to read the export; once more when a difference is to be named. */
  readonly open: () => AsyncIterable<ExportItem>;
  /** What was seen of the log from outside, by the origin that the export names. */
  readonly evidence: (origin: string) => Promise<Evidence | null>;
  /** What checkpoints are signed with; null: as the witness or, at the last, the export has it. */
  readonly key: PublicJwk | null;
  /** Records to judge: others are taken as the witness saw them. Default all. */
  readonly from?: number;
  readonly to?: number;
  readonly onProgress?: (position: number, size: number) => void;
}

export interface Verdict {
  readonly isAsSeen: boolean;
  readonly origin: string;
  readonly from: number;
  /** Position behind the last record that was looked at. */
  readonly size: number;
  readonly records: number;
  /** Of which only the hash is here. */
  readonly archived: number;
  /** Those that have them, as the log itself tells. */
  readonly archives: readonly ToldArchive[];
  /** Checkpoints, of the export and from outside, that hold. */
  readonly checkpoints: number;
  /** Records that a checkpoint vouches for: those below this position. */
  readonly covered: number;
  /** What the log was held against besides its own checkpoints. */
  readonly against: 'leaves' | 'checkpoints' | 'nothing';
  /** Records seen from outside; null where nothing was. */
  readonly seen: number | null;
  /** Who said what the key is. */
  readonly keyFrom: 'given' | 'witness' | 'export';
  /** The key. */
  readonly key: PublicJwk;
  /** The first thing that is not as it was; null: nothing. */
  readonly finding: Finding | null;
}

/**
 * Computes a log again from an export and holds it against its checkpoints and against what was seen from outside. Memory
 * does not depend on the size. Throws `ExportInvalid` for a file that is no whole export, and `EvidenceDamaged` when what
 * was seen contradicts itself.
 */
export async function verifyExport(options: VerifyOptions): Promise<Verdict> {
  let verification: Verification | null = null;
  try {
    for await (const item of options.open()) {
      if (item.kind === 'header') verification = await Verification.begin(item.header, options);
      else if (verification === null) throw new ExportInvalid('The export has no header.');
      else await verification.take(item);
      if (verification.isOver) break;
    }
    if (verification === null) throw new ExportInvalid('The file is empty.');
    return await verification.end();
  } finally {
    await verification?.close();
  }
}

const progress_records = 10_000;

class Verification {
  private readonly frontier: Frontier;
  private records = 0;
  private archived = 0;
  private checkpoints = 0;
  private covered: number;
  /** How the line of the last record begins. */
  private lastLine: Buffer | null = null;
  private finding: Finding | null = null;

  private constructor(
    private readonly header: ExportHeader,
    private readonly options: VerifyOptions,
    private readonly evidence: Evidence | null,
    private readonly jwk: PublicJwk,
    private readonly key: KeyObject,
    private readonly keyFrom: Verdict['keyFrom'],
    private readonly seen: Seen,
    private readonly excuses: Excuses,
  ) {
    this.frontier = Frontier.from(header.from, Buffer.from(header.frontier, 'base64'));
    this.covered = header.from;
  }

  static async begin(header: ExportHeader, options: VerifyOptions): Promise<Verification> {
    const evidence = await options.evidence(header.origin);
    const [key, keyFrom] =
      options.key !== null
        ? ([options.key, 'given'] as const)
        : evidence?.key != null
          ? ([evidence.key, 'witness'] as const)
          : ([header.key, 'export'] as const);
    const keyObject = toKeyObject(key);
    const seen = await Seen.begin(header, evidence, keyObject);
    const excuses = new Excuses(header.origin, keyObject);
    return new Verification(header, options, evidence, key, keyObject, keyFrom, seen, excuses);
  }

  /** What follows cannot be told apart any more, or need not be. */
  get isOver(): boolean {
    return this.finding !== null || this.covered >= (this.options.to ?? Infinity);
  }

  async take(item: Exclude<ExportItem, { kind: 'header' }>): Promise<void> {
    if (item.kind === 'record') await this.record(item.line);
    else await this.marker(item.marker);
  }

  async end(): Promise<Verdict> {
    const position = this.frontier.size;
    if (!this.isOver) await this.checkNotes();
    const seen = this.evidence === null ? null : await this.seen.size();
    if (!this.isOver && this.header.isWhole && seen !== null) this.checkEnd(seen);
    return {
      ...{
        isAsSeen: this.finding === null,
        origin: this.header.origin,
        from: this.header.from,
        size: position,
      },
      ...{ records: this.records, archived: this.archived, checkpoints: this.checkpoints },
      archives: this.excuses.archives,
      covered: this.covered,
      against: this.evidence === null ? 'nothing' : this.evidence.leaves === null ? 'checkpoints' : 'leaves',
      seen,
      keyFrom: this.keyFrom,
      key: this.jwk,
      finding: this.finding,
    };
  }

  /** Files are closed, however it ended. */
  async close(): Promise<void> {
    await this.seen.close();
  }

  private async record(line: Buffer): Promise<void> {
    this.records += 1;
    await this.append(leafHash(line), line);
  }

  private async append(leaf: Buffer, line: Buffer | null): Promise<void> {
    await this.checkNotes();
    if (this.isOver) return;
    const position = this.frontier.size;
    const seen = await this.seen.leaf();
    const isJudged = this.isJudged(position);
    if (isJudged && seen !== null && !seen.equals(leaf)) {
      await this.part(leaf, line);
      return;
    }
    this.frontier.append(isJudged || seen === null ? leaf : seen);
    if (line !== null) this.lastLine = line.subarray(0, 64);
    if (this.frontier.size % progress_records === 0)
      this.options.onProgress?.(this.frontier.size, this.header.size);
  }

  private isJudged(position: number): boolean {
    const { from = 0, to = Infinity } = this.options;
    return position >= from && position < to;
  }

  private async part(leaf: Buffer, line: Buffer | null): Promise<void> {
    const leaves = this.evidence?.leaves;
    if (leaves == null) throw new Error('Nothing to part from.');
    this.finding = await nameDifference(this.options.open, leaves, {
      position: this.frontier.size,
      leaf,
      id: line === null ? null : idOf(line),
      after: this.before(),
    });
  }

  private async marker(marker: ExportMarker): Promise<void> {
    if ('archived' in marker) {
      const { archive, leaves } = marker.archived;
      for (const leaf of splitHashes(Buffer.from(leaves, 'base64'))) {
        if (!this.isExcused(archive)) return;
        this.archived += 1;
        await this.append(leaf, null);
        if (this.isOver) return;
      }
    } else if ('archive' in marker) this.excuses.take(marker.archive);
    else if ('missing' in marker) this.missing(...marker.missing);
    else if ('checkpoint' in marker) this.own(marker.checkpoint);
    else if ('beyond' in marker) {
      const { position, line } = marker.beyond;
      const id = line === null ? null : idOf(Buffer.from(line, 'utf8'));
      this.find('inserted', position, 'A row behind the end of the log.', { id, records: 1 });
    }
  }

  /** A hash tells that a record was there; that it may be gone only the log itself can say. */
  private isExcused(archive: string): boolean {
    const position = this.frontier.size;
    if (!this.isJudged(position) || this.excuses.covers(archive, position)) return true;
    const detail = `It is gone, said to be in the archive ${archive}, and no record of the log says that this archive has it.`;
    this.find('removed', position, detail);
    return false;
  }

  private missing(from: number, to: number): void {
    const records = to - from;
    if (to >= this.header.size && this.header.isWhole)
      this.find('tail-missing', from, `The last ${records} records are gone.`, { records });
    else this.find('removed', from, `${records} records are gone, their places are empty.`, { records });
  }

  /** A checkpoint of the export itself. */
  private own({ note, size }: { readonly note: string; readonly size: number }): void {
    const checkpoint = openCheckpoint(note, this.header.origin, this.key);
    if (checkpoint?.size !== size)
      this.find('checkpoint', size, `The checkpoint of ${size} records is not signed by the key of the log.`);
    else this.check(checkpoint);
  }

  /** The checkpoints from outside that are due at this position. */
  private async checkNotes(): Promise<void> {
    for (;;) {
      const checkpoint = await this.seen.checkpointAt(this.frontier.size);
      if (checkpoint === null || this.isOver) return;
      // Every record was like the one seen, so it is not the log that the note contradicts.
      const hasLeaves = (this.evidence?.leaves?.size ?? 0) >= checkpoint.size;
      if (hasLeaves && !checkpoint.root.equals(this.frontier.root()))
        throw new EvidenceDamaged(
          `The hashes of the witness are not those it has a signed checkpoint of (${checkpoint.size} records).`,
        );
      this.check(checkpoint);
    }
  }

  private check({ size, root }: Checkpoint): void {
    if (size > this.frontier.size) {
      const records = size - this.frontier.size;
      this.find('tail-missing', this.frontier.size, `A checkpoint of ${size} records was signed.`, {
        records,
      });
    } else if (size < this.frontier.size) {
      this.find('inserted', this.covered, `More records than were signed at ${size}.`, { to: size });
    } else if (!root.equals(this.frontier.root())) {
      const detail = `The records from ${this.covered} to ${size - 1} are not those that were signed: one or more were changed, reordered, or removed and made up for.`;
      this.find('changed', this.covered, detail, { to: size });
    } else {
      this.checkpoints += 1;
      this.covered = size;
    }
  }

  private checkEnd(seen: number): void {
    const size = this.frontier.size;
    if (seen <= size) return;
    const detail = `The log ends here, ${seen} records were seen: an older copy, or its end was cut off.`;
    this.find('older', size, detail, { records: seen - size });
  }

  private before(): string | null {
    return this.lastLine === null ? null : idOf(this.lastLine);
  }

  private find(what: FindingKind, position: number, detail: string, known: Partial<Finding> = {}): void {
    const none = { to: null, id: null, records: null };
    const after = position === this.frontier.size ? this.before() : null;
    this.finding ??= { ...none, what, position, after, detail, ...known };
  }
}
