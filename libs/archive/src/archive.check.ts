import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { LogRecord } from '#libs/contracts';
import { Cover, leafHash, type Checkpoint } from '#libs/tlog';
import { ArchivedSubtree, ArchiveEnd, ArchiveHead, readArchivedRecord } from './archive.format.js';

/** An archive that is not what it says it is. The message says where. */
export class ArchiveInvalid extends Error {
  override readonly name = 'ArchiveInvalid';
}

export interface CheckedArchive {
  readonly head: ArchiveHead;
  readonly checkpoint: Checkpoint;
  readonly first: number;
  readonly last: number;
}

export interface ArchiveQuestions {
  /** What the note in the archive says; null when it is not signed by whom it should be. */
  readonly openNote: (note: string, origin: string) => Checkpoint | null;
  /** Gets every record in order, before it is known whether all of them are proved. */
  readonly onRecord?: (position: number, record: LogRecord) => void;
}

/** Longest line that is read: far above what a record can be. */
const line_chars_max = 4 * 1024 * 1024;

/**
 * Reads an archive in one pass, whatever its size, and proves each record against its checkpoint: the class and the month they are
 * of, their order, and the root of the whole log. Throws `ArchiveInvalid`.
 */
export async function checkArchive(path: string, questions: ArchiveQuestions): Promise<CheckedArchive> {
  const gunzip = createGunzip();
  const piped = pipeline(createReadStream(path), gunzip);
  // Whatever ends the reading early ends this, too; it is told below.
  piped.catch(() => undefined);
  const reading = new Reading(questions);
  try {
    for await (const line of createInterface({ input: gunzip, crlfDelay: Infinity })) {
      if (line.length > line_chars_max) throw new ArchiveInvalid('A line is longer than any record.');
      reading.take(line);
    }
    await piped;
  } catch (error) {
    if (error instanceof ArchiveInvalid) throw error;
    throw new ArchiveInvalid(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
  } finally {
    gunzip.destroy();
  }
  return reading.end();
}

/** SHA-256 of a file; null when it is not there. */
export async function fileSha256(path: string): Promise<Buffer | null> {
  const sha256 = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path)) sha256.update(chunk as Buffer);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  return sha256.digest();
}

class Reading {
  private readonly cover = new Cover();
  private head: ArchiveHead | null = null;
  private records = 0;
  private first = 0;
  private last = 0;
  private ended = false;

  constructor(private readonly questions: ArchiveQuestions) {}

  take(line: string): void {
    if (this.ended) throw new ArchiveInvalid('Something stands behind the end.');
    try {
      if (this.head === null) this.head = ArchiveHead.parse(JSON.parse(line));
      else if (line.startsWith('{"position"')) this.record(line, this.head);
      else if (line.startsWith('{"from"')) this.subtree(line);
      else this.ended = ArchiveEnd.parse(JSON.parse(line)).end;
    } catch (error) {
      if (error instanceof ArchiveInvalid) throw error;
      throw new ArchiveInvalid(`After position ${this.cover.size}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  end(): CheckedArchive {
    const { head, cover } = this;
    if (head === null || !this.ended) throw new ArchiveInvalid('The file ends too early.');
    if (this.records !== head.records)
      throw new ArchiveInvalid(`It says ${head.records} records and has ${this.records}.`);
    const checkpoint = this.questions.openNote(head.checkpoint, head.origin);
    if (checkpoint?.origin !== head.origin)
      throw new ArchiveInvalid('The checkpoint is not signed by the key of this log.');
    if (checkpoint.size !== cover.size || !checkpoint.root.equals(cover.root()))
      throw new ArchiveInvalid(
        'The records are not those of the checkpoint: one was changed, removed or added.',
      );
    return { head, checkpoint, first: this.first, last: this.last };
  }

  private record(text: string, head: ArchiveHead): void {
    const { position, record, line } = readArchivedRecord(text);
    if (record.retention !== head.class || !record.time.startsWith(`${head.month}-`))
      throw new ArchiveInvalid(`The record at ${position} is not of ${head.class} ${head.month}.`);
    this.cover.record(position, leafHash(line));
    if (this.records === 0) this.first = position;
    this.records += 1;
    this.last = position;
    this.questions.onRecord?.(position, record);
  }

  private subtree(text: string): void {
    const { from, count, hash } = ArchivedSubtree.parse(JSON.parse(text));
    this.cover.subtree({ from, count }, Buffer.from(hash, 'base64'));
  }
}
