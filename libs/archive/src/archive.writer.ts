import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { createGzip, type Gzip } from 'node:zlib';
import type { Subtree } from '#libs/tlog';
import { archivedRecordLine, type ArchiveHead } from './archive.format.js';

/** What was written. */
export interface WrittenArchive {
  /** In the folder. */
  readonly file: string;
  readonly bytes: number;
  /** Of the file. */
  readonly sha256: Buffer;
}

/** `session-2026-01-<id>.ndjson.gz` */
export const archiveFile = ({
  class: name,
  month,
  id,
}: Pick<ArchiveHead, 'class' | 'month' | 'id'>): string => `${name}-${month}-${id}.ndjson.gz`;

/**
 * Writes an archive beside its place and moves it there once it is on the disk: a file with its name is whole. Lines are taken as
 * fast as the disk does.
 */
export class ArchiveWriter {
  private readonly gzip: Gzip = createGzip({ level: 6 });
  private readonly counted: Transform;
  private readonly out: WriteStream;
  private readonly sha256: Hash = createHash('sha256');
  private readonly failed: Promise<never>;
  private bytes = 0;

  private constructor(
    private readonly folder: string,
    private readonly file: string,
  ) {
    this.out = createWriteStream(this.part, { mode: 0o600, flush: true });
    this.counted = new Transform({
      transform: (chunk: Buffer, _, done) => {
        this.bytes += chunk.length;
        this.sha256.update(chunk);
        done(null, chunk);
      },
    });
    this.failed = new Promise((_, reject) => {
      for (const stream of [this.gzip, this.counted, this.out]) stream.on('error', reject);
    });
    // Told to whoever waits for a line or for the end; nobody may be waiting yet.
    this.failed.catch(() => undefined);
    this.gzip.pipe(this.counted).pipe(this.out);
  }

  /** Makes the folder unless it is there. */
  static async create(folder: string, head: ArchiveHead): Promise<ArchiveWriter> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const writer = new ArchiveWriter(folder, archiveFile(head));
    await Promise.race([once(writer.out, 'open'), writer.failed]);
    await writer.line(JSON.stringify(head));
    return writer;
  }

  /** @param line the record's canonical line */
  async record(position: number, line: string): Promise<void> {
    await this.line(archivedRecordLine(position, line));
  }

  async subtree({ from, count }: Subtree, hash: Buffer): Promise<void> {
    await this.line(JSON.stringify({ from, count, hash: hash.toString('base64') }));
  }

  /** Resolves once file and name are on the disk. */
  async finish(): Promise<WrittenArchive> {
    await this.line('{"end":true}');
    this.gzip.end();
    await Promise.race([once(this.out, 'close'), this.failed]);
    await rename(this.part, join(this.folder, this.file));
    const folder = await open(this.folder, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
    return { file: this.file, bytes: this.bytes, sha256: this.sha256.digest() };
  }

  /** Removes what was written, finished or not. */
  async abandon(): Promise<void> {
    this.gzip.unpipe();
    this.counted.unpipe();
    for (const stream of [this.gzip, this.counted, this.out]) stream.destroy();
    // It may end with the very error that it is abandoned for.
    if (!this.out.closed) await new Promise<void>((resolve) => this.out.once('close', resolve));
    await rm(this.part, { force: true });
    await rm(join(this.folder, this.file), { force: true });
  }

  private get part(): string {
    return join(this.folder, `${this.file}.part`);
  }

  private async line(text: string): Promise<void> {
    if (this.gzip.write(`${text}\n`)) return;
    await Promise.race([once(this.gzip, 'drain'), this.failed]);
  }
}
