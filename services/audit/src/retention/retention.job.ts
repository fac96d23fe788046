import { join } from 'node:path';
import { CLOCK, type Clock } from '#libs/clock';
import { archiveFile, fileSha256 } from '#libs/archive';
import { newId, ProblemError, type RetentionClass, type RetentionStep } from '#libs/contracts';
import { Outbox, OutboxRelay, TransactionRunner } from '#libs/persistence';
import { LOGGER, type Logger } from '#libs/telemetry';
import { Inject, Injectable } from '@nestjs/common';
import type { Queryable } from '../database/roles.js';
import { refusal } from '../errors.js';
import { refusalOf } from '../database/sql-states.js';
import type { Asker } from '../privacy/subjects.service.js';
import { ArchiveTeller } from './archive.teller.js';
import { KeeperRepository, type PlannedPartition } from './keeper.repository.js';
import { PartitionArchiver } from './partition.archiver.js';
import { RetentionRepository } from './retention.repository.js';

/** One run. */
export interface RetentionOrder {
  readonly id: string;
  /** Null: all classes. */
  readonly class: RetentionClass | null;
  readonly folder: string;
  readonly asker: Asker;
}

const detail_chars_max = 300;

/**
 * Archives and drops what is due:
 *
 *   of each partition, the oldest first:  archive, unless there is an archive and its file is whole -> have the log tell it,
 *     under a checkpoint -> drop -> tell that
 *
 * What fails with one does not keep the others. What was done before an interruption is found done by the next run.
 */
@Injectable()
export class RetentionJob {
  constructor(
    private readonly keepers: KeeperRepository,
    private readonly runs: RetentionRepository,
    private readonly archiver: PartitionArchiver,
    private readonly teller: ArchiveTeller,
    private readonly transactions: TransactionRunner,
    private readonly outbox: Outbox,
    private readonly relay: OutboxRelay,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Never throws: how it ended stands in the run. */
  async carryOut(keeper: Queryable, order: RetentionOrder, signal: AbortSignal): Promise<void> {
    let failures = 0;
    let detail: string | null = null;
    try {
      const plan = await this.keepers.plan(keeper);
      for (const partition of plan.filter((it) => isToDo(it, order.class))) {
        signal.throwIfAborted();
        if (!(await this.partition(keeper, partition, order, signal))) failures += 1;
      }
      if (failures > 0) detail = `${failures} of them could not be archived or dropped; the others were`;
    } catch (error) {
      this.logger.error({ err: error, run: order.id }, 'a run of retention failed');
      detail = signal.aborted ? 'the service ended meanwhile' : sentenceOf(error);
    }
    await this.end(order, detail);
  }

  /** Events of what is done and not told yet, whoever did it. */
  async tell({ actor, traceparent }: Asker): Promise<void> {
    const told = await this.transactions.run(async (manager) => {
      const untold = await this.runs.takeUntold(manager);
      await this.outbox.events(
        manager,
        untold.map((it) => ({ ...it, actor, traceparent })),
      );
      return untold.length;
    });
    if (told > 0) this.relay.wake();
  }

  /** Whether it is archived and dropped now. */
  private async partition(
    keeper: Queryable,
    partition: PlannedPartition,
    order: RetentionOrder,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { class: name, month, records } = partition;
    const step = async (did: RetentionStep['did'], archive: string | null, detail: string | null = null) =>
      await this.runs.step(order.id, { class: name, month, records, did, archive, detail });
    let archive: string | null = null;
    try {
      if (records > 0) {
        archive = await this.wholeArchive(partition, order.folder);
        if (archive === null) {
          archive = await this.archiver.archive(keeper, partition, order.folder, signal);
          await step('archived', archive);
        }
        await this.told(archive, order, signal);
      }
      await this.keepers.drop(keeper, newId(this.clock.wallMs()), partition, archive);
      await step('dropped', archive);
      await this.tell(order.asker);
      return true;
    } catch (error) {
      if (signal.aborted) throw error;
      const known = refusalOf(error);
      this.logger.error({ err: error, class: name, month }, 'a partition was not archived and dropped');
      const detail = sentenceOf(known);
      await step('failed', archive, detail);
      await this.tellFailure(order, partition, detail);
      return false;
    }
  }

  private async told(id: string, { folder, asker }: RetentionOrder, signal: AbortSignal): Promise<void> {
    const archive = await this.runs.archive(id);
    if (archive === null) throw refusal.notArchived(null);
    await this.teller.tell(archive, folder, asker, signal);
  }

  /** The archive that is there already, unless its file is gone or not what it was. */
  private async wholeArchive({ archive: id }: PlannedPartition, folder: string): Promise<string | null> {
    const archive = id === null ? null : await this.runs.archive(id);
    if (archive === null) return null;
    const sha256 = await fileSha256(join(folder, archiveFile(archive)));
    return sha256?.toString('hex') === archive.sha256 ? archive.id : null;
  }

  private async tellFailure(
    { id: run, asker: { actor, traceparent } }: RetentionOrder,
    { class: name, month, records }: PlannedPartition,
    detail: string,
  ): Promise<void> {
    const type = 'tradefleet.audit.retention-failed';
    const data = { run, class: name, month, records, detail };
    await this.transactions.run(
      async (manager) => await this.outbox.event(manager, { type, id: run, data, actor, traceparent }),
    );
    this.relay.wake();
  }

  private async end({ id, asker }: RetentionOrder, detail: string | null): Promise<void> {
    try {
      await this.tell(asker);
      const state = detail === null ? 'succeeded' : 'failed';
      await this.runs.end(id, state, detail, new Date(this.clock.wallMs()).toISOString());
    } catch (error) {
      // The next run finds it running without a runner, and says so.
      this.logger.error({ err: error, run: id }, 'the end of a run of retention was not written down');
    }
  }
}

/** What waits for a checkpoint or for the end of a hold is left for a later run. */
const isToDo = (partition: PlannedPartition, of: RetentionClass | null): boolean =>
  partition.isDue &&
  partition.holds.length === 0 &&
  partition.isClosed === true &&
  (of === null || partition.class === of);

/** Of an unknown fault no more than its kind: what it says may quote what it was about. */
function sentenceOf(error: unknown): string {
  if (error instanceof ProblemError) return error.detail.slice(0, detail_chars_max);
  const name = error instanceof Error ? error.name : 'a fault';
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return `${name}${typeof code === 'string' ? ` (${code})` : ''}; the log of the service has more`;
}
