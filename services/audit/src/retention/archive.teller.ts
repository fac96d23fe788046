import { CLOCK, type Clock } from '#libs/clock';
import { archiveFile, checkArchive, fileSha256 } from '#libs/archive';
import {
  archive_ranges_max,
  archiveStatement,
  PartitionArchivedEventData,
  type Archive,
} from '#libs/contracts';
import { Outbox, OutboxRelay, TransactionRunner } from '#libs/persistence';
import { Inject, Injectable } from '@nestjs/common';
import { join } from 'node:path';
import { refusal } from '../errors.js';
import { LOG_KEY, type LogKey } from '../log/log-key.js';
import { LogReader } from '../log/log.reader.repository.js';
import type { Asker } from '../privacy/subjects.service.js';
import { ArchiveRecordsRepository } from './archive-records.repository.js';
import { archiveEvents, Ranges, type ToldRange } from './archive.events.js';

const look_ms = 200;
/** Longest wait for the log to have it and for a checkpoint over that. */
const recorded_ms_max = 120_000;

/**
 * Has the log tell what an archive has, before anything of it is dropped. It signs with the key of the log, so it goes by the
 * file that it reads and proves itself: rows of the database are the word of whoever owns it.
 */
@Injectable()
export class ArchiveTeller {
  constructor(
    private readonly records: ArchiveRecordsRepository,
    private readonly log: LogReader,
    private readonly transactions: TransactionRunner,
    private readonly outbox: Outbox,
    private readonly relay: OutboxRelay,
    @Inject(LOG_KEY) private readonly key: LogKey,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /**
   * Resolves once the log tells of the archive under a checkpoint. Throws `invalid_transition` when that takes too long, and what
   * is wrong with the file.
   */
  async tell(archive: Archive, folder: string, asker: Asker, signal: AbortSignal): Promise<void> {
    const ranges = await this.proved(archive, folder);
    await this.write(archive, ranges, asker);
    const giveUp_ms = this.clock.monotonicMs() + recorded_ms_max;
    while (!(await this.isTold(archive.id))) {
      if (this.clock.monotonicMs() >= giveUp_ms) throw refusal.notTold(null);
      await this.clock.sleep(look_ms, signal);
    }
    await this.records.keep(archive.id, await this.records.recorded(archive.id));
  }

  /** What the file has, which is the one that was noted. */
  private async proved(archive: Archive, folder: string): Promise<ToldRange[]> {
    const path = join(folder, archiveFile(archive));
    const ranges = new Ranges();
    const { head, checkpoint, first, last } = await checkArchive(path, {
      openNote: (note) => this.key.open(note),
      onRecord: (position) => ranges.add(position),
    });
    const sha256 = await fileSha256(path);
    const noted = [archive.id, archive.class, archive.month, archive.records, archive.first, archive.last];
    const found = [head.id, head.class, head.month, head.records, first, last];
    if (
      JSON.stringify([...noted, archive.sha256, archive.checkpointSize]) !==
      JSON.stringify([...found, sha256?.toString('hex'), checkpoint.size])
    )
      throw refusal.notArchived(null);
    return ranges.all;
  }

  private async write(
    archive: Archive,
    ranges: readonly ToldRange[],
    { actor, traceparent }: Asker,
  ): Promise<void> {
    const type = 'tradefleet.audit.partition-archived';
    const events = archiveEvents(archive, ranges, archive_ranges_max, this.key.origin, (told) =>
      this.key.signStatement(archiveStatement(told)),
    );
    await this.transactions.run(async (tx) => {
      if (!(await this.records.claim(tx, archive.id))) return;
      await this.outbox.events(
        tx,
        events.map((data) => ({ type, id: archive.id, data, actor, traceparent })),
      );
    });
    this.relay.wake();
  }

  /** Whether all parts are recorded, under a checkpoint. */
  private async isTold(archive: string): Promise<boolean> {
    const recorded = await this.records.recorded(archive);
    const [first] = recorded;
    if (first === undefined) return false;
    const { data } = JSON.parse(first.line) as { data: string };
    const { parts } = PartitionArchivedEventData.parse(JSON.parse(data));
    if (recorded.length < parts) return false;
    const checkpoint = await this.log.lastCheckpoint(this.key.origin);
    return (checkpoint?.size ?? 0) > (recorded.at(-1)?.position ?? Infinity);
  }
}
