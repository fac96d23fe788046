import { CLOCK, type Clock } from '#libs/clock';
import { newId } from '#libs/contracts';
import { ArchiveWriter, checkArchive } from '#libs/archive';
import { subtreeHash, subtreesOf, type ReadTile } from '#libs/tlog';
import { Inject, Injectable } from '@nestjs/common';
import { join } from 'node:path';
import type { Queryable } from '../database/roles.js';
import { refusal } from '../errors.js';
import { LOG_KEY, type LogKey } from '../log/log-key.js';
import { LogReader, type PlacedLine } from '../log/log.reader.repository.js';
import { KeeperRepository, type PlannedPartition } from './keeper.repository.js';

/** Records read at once. */
const page_records = 1000;

/** Up to where a file covers the log. */
interface Progress {
  next: number;
  records: number;
  positionSum: bigint;
}

/** Puts the records of a partition into a file that proves itself, and notes that it did. */
@Injectable()
export class PartitionArchiver {
  constructor(
    private readonly keepers: KeeperRepository,
    private readonly log: LogReader,
    @Inject(LOG_KEY) private readonly key: LogKey,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /**
   * The archive's id, once the file is on the disk, has been read back and proved, and the database has found it to hold the whole
   * partition. Throws what goes wrong; a file that was begun is removed.
   */
  async archive(
    keeper: Queryable,
    partition: PlannedPartition,
    folder: string,
    signal: AbortSignal,
  ): Promise<string> {
    const id = newId(this.clock.wallMs());
    const checkpoint = await this.log.lastCheckpoint(this.key.origin);
    if (checkpoint === null || checkpoint.size <= (partition.lastPosition ?? Infinity))
      throw refusal.notCovered(null);
    const { class: name, month, records } = partition;
    const writer = await ArchiveWriter.create(folder, {
      ...{
        archive: 1,
        id,
        origin: checkpoint.origin,
        class: name,
        month,
        records,
        checkpoint: checkpoint.note,
      },
    });
    try {
      const progress: Progress = { next: 0, records: 0, positionSum: 0n };
      for (;;) {
        signal.throwIfAborted();
        const page = await this.keepers.read(keeper, partition, progress.next - 1, page_records);
        await this.writePage(writer, page, progress, checkpoint.size);
        if (page.length < page_records) break;
      }
      await fill(writer, progress, checkpoint.size, this.log.tiles(checkpoint.size));
      const written = await writer.finish();
      const checked = await checkArchive(join(folder, written.file), {
        openNote: (note) => this.key.open(note),
      });
      await this.keepers.recordArchive(keeper, {
        ...{ id, class: name, month, records: progress.records, first: checked.first, last: checked.last },
        ...{ positionSum: progress.positionSum, ...written, checkpointSize: checkpoint.size },
      });
      return id;
    } catch (error) {
      await writer.abandon();
      throw error;
    }
  }

  private async writePage(
    writer: ArchiveWriter,
    page: readonly PlacedLine[],
    progress: Progress,
    size: number,
  ): Promise<void> {
    // A reader remembers what it has read: one for a page bounds that.
    const read = this.log.tiles(size);
    for (const { position, line } of page) {
      await fill(writer, progress, position, read);
      await writer.record(position, line);
      progress.next = position + 1;
      progress.records += 1;
      progress.positionSum += BigInt(position);
    }
  }
}

/** What is not of this partition, up to a position. */
async function fill(writer: ArchiveWriter, progress: Progress, to: number, read: ReadTile): Promise<void> {
  for (const subtree of subtreesOf(progress.next, to))
    await writer.subtree(subtree, await subtreeHash(subtree, read));
  progress.next = to;
}
