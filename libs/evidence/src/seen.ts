import type { KeyObject } from 'node:crypto';
import type { Checkpoint } from '#libs/tlog';
import { EvidenceDamaged } from './evidence.damaged.js';
import type { ExportHeader } from './export.format.js';
import { openCheckpoint, type Evidence } from './witness.reader.js';

/** Goes through what was seen from outside, in step with the log. */
export class Seen {
  private next: Checkpoint | null = null;
  private last = 0;
  private found = 0;

  private constructor(
    private readonly origin: string,
    private readonly evidence: Evidence | null,
    private readonly key: KeyObject,
    private readonly notes: AsyncIterator<string> | null,
    private readonly leaves: AsyncIterator<Buffer> | null,
  ) {}

  static async begin(header: ExportHeader, evidence: Evidence | null, key: KeyObject): Promise<Seen> {
    const notes = evidence?.notes()[Symbol.asyncIterator]() ?? null;
    const leaves = evidence?.leaves?.from(header.from)[Symbol.asyncIterator]() ?? null;
    const seen = new Seen(header.origin, evidence, key, notes, leaves);
    await seen.advance();
    return seen;
  }

  /** The hash seen at the next position; null behind the last. */
  async leaf(): Promise<Buffer | null> {
    const leaf = await this.leaves?.next();
    return leaf === undefined || leaf.done === true ? null : leaf.value;
  }

  /** A checkpoint of this size that was not given yet; null when there is none. */
  async checkpointAt(size: number): Promise<Checkpoint | null> {
    while (this.next !== null && this.next.size < size) await this.advance();
    const due = this.next;
    if (due?.size !== size) return null;
    await this.advance();
    return due;
  }

  /** Records seen, to the last. Throws `EvidenceDamaged` when nothing of it is signed. */
  async size(): Promise<number> {
    while (this.next !== null) await this.advance();
    if (this.found === 0)
      throw new EvidenceDamaged(
        `There is no checkpoint of ${this.origin} that this key has signed: is it another log, or another key?`,
      );
    return Math.max(this.last, this.evidence?.leaves?.size ?? 0);
  }

  async close(): Promise<void> {
    await this.notes?.return?.();
    await this.leaves?.return?.();
  }

  /** To the next note that the key has signed; torn ones, and those of others, are passed over. */
  private async advance(): Promise<void> {
    this.next = null;
    for (;;) {
      const note = await this.notes?.next();
      if (note === undefined || note.done === true) return;
      const checkpoint = openCheckpoint(note.value, this.origin, this.key);
      if (checkpoint === null) continue;
      this.found += 1;
      this.last = Math.max(this.last, checkpoint.size);
      this.next = checkpoint;
      return;
    }
  }
}
