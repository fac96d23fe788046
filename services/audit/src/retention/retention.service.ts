import { access, constants, mkdir } from 'node:fs/promises';
import { CLOCK, type Clock } from '#libs/clock';
import {
  newId,
  type ArchiveList,
  type ArchivePage,
  type PartitionState,
  type RetentionPlan,
  type RetentionPlanGet,
  type RetentionRun,
  type RetentionRunStart,
} from '#libs/contracts';
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { z } from 'zod';
import { AUDIT_CONFIG, type AuditConfig } from '../audit.config.js';
import { KeeperDatabase } from '../database/keeper.js';
import { refusal } from '../errors.js';
import type { Asker } from '../privacy/subjects.service.js';
import { decodePlace, encodePlace } from '../query/place.js';
import { KeeperRepository, type PlannedPartition } from './keeper.repository.js';
import { RetentionJob } from './retention.job.js';
import { RetentionRepository } from './retention.repository.js';

const Place = z.strictObject({ id: z.uuid() });

/** What is due, and having it archived and dropped. */
@Injectable()
export class RetentionService implements OnModuleDestroy {
  private readonly ending = new AbortController();
  private running: Promise<void> | null = null;

  constructor(
    private readonly keeper: KeeperDatabase,
    private readonly keepers: KeeperRepository,
    private readonly runs: RetentionRepository,
    private readonly job: RetentionJob,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(AUDIT_CONFIG) private readonly config: Pick<AuditConfig, 'archiveDir'>,
  ) {}

  async plan({ class: of, due }: RetentionPlanGet): Promise<RetentionPlan> {
    const partitions = await this.keepers.plan();
    return {
      months: await this.runs.months(),
      obstacle: await this.obstacle(),
      partitions: partitions
        .filter((it) => (of === undefined || it.class === of) && (!due || it.isDue))
        .map(({ class: name, month, records, bytes, dueAt, holds, ...rest }) => ({
          ...{ class: name, month, records, bytes, dueAt: dueAt.toISOString(), holds: [...holds] },
          state: stateOf({ holds, ...rest }),
        })),
    };
  }

  /** Begins a run and answers at once. Throws `retention_not_set_up`, `retention_running`. */
  async start({ class: of }: RetentionRunStart, asker: Asker): Promise<RetentionRun> {
    const folder = this.config.archiveDir;
    const obstacle = await this.obstacle();
    if (folder === undefined || obstacle !== null) throw refusal.retentionNotSetUp(obstacle ?? noFolder);
    const lock = await this.keeper.lock();
    if (lock === null) throw refusal.retentionRunning();
    const id = newId(this.clock.wallMs());
    try {
      await this.runs.begin(id, new Date(this.clock.wallMs()).toISOString());
    } catch (error) {
      await lock.release();
      throw error;
    }
    const order = { id, class: of ?? null, folder, asker };
    this.running = this.job
      .carryOut(lock.keeper, order, this.ending.signal)
      .finally(async () => await lock.release());
    // The run says how it ended; a lock that cannot be given back goes with its connection.
    this.running.catch(() => undefined);
    return await this.get(id);
  }

  /** Throws `retention_run_not_found`. */
  async get(id: string): Promise<RetentionRun> {
    const run = await this.runs.run(id);
    if (run === null) throw refusal.runNotFound();
    return run;
  }

  async archives({ class: of, limit, after }: ArchiveList): Promise<ArchivePage> {
    const place = after === undefined ? null : decodePlace(Place, after).id;
    const rows = await this.runs.archives(of ?? null, place, limit + 1);
    const archives = rows.slice(0, limit);
    const last = archives.at(-1);
    const isEnd = last === undefined || archives.length === rows.length;
    return { archives, next: isEnd ? null : encodePlace({ id: last.id }) };
  }

  /** What an interrupted run has done and not told. */
  async tellLeftovers(): Promise<void> {
    await this.job.tell({ actor: 'service:audit' });
  }

  /** While the database is there: a run under way ends between two pages, and says so. */
  async onModuleDestroy(): Promise<void> {
    this.ending.abort();
    await this.running;
  }

  private async obstacle(): Promise<string | null> {
    if (!this.keeper.isThere) return noKeeper;
    const folder = this.config.archiveDir;
    if (folder === undefined) return noFolder;
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await access(folder, constants.W_OK);
      return null;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      return `The archive folder cannot be written (${code ?? 'no reason given'}): let the service write TRADEFLEET_ARCHIVE_DIR.`;
    }
  }
}

const noKeeper =
  'Give the audit service TRADEFLEET_KEEPER_DATABASE_URL, with a role of its own, and the owner once to make the role.';
const noFolder =
  'Give the audit service TRADEFLEET_ARCHIVE_DIR, a folder on storage that outlives the database.';

function stateOf({
  isDue,
  holds,
  isClosed,
  archive,
}: Pick<PlannedPartition, 'isDue' | 'holds' | 'isClosed' | 'archive'>): PartitionState {
  if (!isDue) return 'kept';
  if (holds.length > 0) return 'held';
  if (isClosed !== true) return 'waiting';
  return archive === null ? 'due' : 'archived';
}
