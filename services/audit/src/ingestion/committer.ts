import { CLOCK, type Clock } from '#libs/clock';
import { recordLine, type LogRecord } from '#libs/contracts';
import { Outbox } from '#libs/persistence';
import { leafHash } from '#libs/tlog';
import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { QuarantineReports, type QuarantineReport } from '../quarantine/quarantine.reports.js';
import {
  faultOfTheData,
  LogRepository,
  type Added,
  type Addition,
  type KeptEvent,
} from './log.repository.js';
import type { LogState } from './log.state.js';
import { Partitions } from './partitions.js';
import { refusedEvent, type Leaf, type QuarantinedMessage } from './recorded-event.js';
import { receivedRanges } from './received-ranges.js';
import { Turns } from './turns.js';

/** What is to be committed together. */
export interface Batch {
  readonly leaves: readonly Leaf[];
  readonly quarantined: readonly QuarantinedMessage[];
}

export interface Committed {
  /** Events that are in the log now and were not before. */
  readonly added: number;
  /** Events that had been recorded before. */
  readonly known: number;
  /** Every message put aside, with those that were found to be so on the way. */
  readonly quarantined: readonly QuarantinedMessage[];
  /** What is to be told of those of them that were not in the quarantine yet; its events are committed. */
  readonly report: QuarantineReport;
}

/** What became of the offered events when they were held against the log. */
interface Sorted {
  readonly fresh: readonly Leaf[];
  readonly known: number;
  readonly conflicts: readonly QuarantinedMessage[];
}

/**
 * Adds batches to the log, one transaction each, one after the other, in this process and, by the lock of the head's row,
 * in all:
 *
 *   at once   one statement: head, if it is where this process left it; events, tiles, producers
 *   sorted    lock head -> [load state if it has moved] -> hold the batch against the log -> the statement -> commit
 *
 * A batch is added at once when all of it seems to be new; where that is not so, nothing of it is, and it is sorted. So
 * positions have no gaps, and a batch fails or is committed as a whole.
 */
@Injectable()
export class Committer {
  private readonly turns = new Turns();
  /** Null when it is not known how far the log is: at the start and after a failure. */
  private state: LogState | null = null;
  /** The last batch was not new, or not ours to add: the next is likely to be like it. */
  private isWary = false;

  constructor(
    private readonly log: LogRepository,
    private readonly partitions: Partitions,
    private readonly quarantine: QuarantineReports,
    private readonly outbox: Outbox,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Throws what the database throws; nothing of the batch is committed then, unless the answer was lost. */
  async commit(batch: Batch): Promise<Committed> {
    return await this.turns.run(async () => {
      try {
        return await this.attempt(batch);
      } catch (error) {
        if (faultOfTheData(error) === null) throw error;
        // A month may have been taken away since it was made.
        this.partitions.forget();
        return await this.attempt(batch);
      }
    });
  }

  private async attempt(batch: Batch): Promise<Committed> {
    try {
      await this.partitions.ensureFor(batch.leaves.map(({ record }) => record.time));
      const once = sortByEachOther(batch.leaves);
      return (await this.addAtOnce(batch, once)) ?? (await this.addSorted(batch, once));
    } catch (error) {
      // A commit of which no answer came may have happened.
      this.state = null;
      throw error;
    }
  }

  /** Null, and nothing done, when some are in the log already, or when the head is elsewhere. */
  private async addAtOnce(batch: Batch, once: Sorted): Promise<Committed | null> {
    // What is put aside is told of by events, which are for the same transaction.
    const isPlain = batch.quarantined.length + once.conflicts.length === 0;
    if (this.state === null || this.isWary || !isPlain) return null;
    const { addition, quarantined } = this.additionOf(this.state, batch, once);
    if (!(await this.log.addAtOnce(addition))) {
      this.isWary = true;
      return null;
    }
    return this.keep(addition.after, toCommitted(once, batch, this.quarantine.report(quarantined)));
  }

  private async addSorted(batch: Batch, once: Sorted): Promise<Committed> {
    const before = this.state;
    const { state, after, committed } = await this.log.transaction(async (manager) => {
      const state = await this.current(manager);
      const sorted = await this.sortByLog(manager, once);
      const { after, added, report } = await this.add(manager, state, batch, sorted);
      if (added.events < sorted.fresh.length) throw new Error('Somebody adds to the log without its lock.');
      return { state, after, committed: toCommitted(sorted, batch, report) };
    });
    this.isWary = committed.known > 0 || (before !== null && before !== state);
    return this.keep(after, committed);
  }

  private async current(manager: EntityManager): Promise<LogState> {
    const head = await this.log.lockHead(manager);
    if (this.state?.size === head.size && this.state.hashes().equals(head.hashes)) return this.state;
    return await this.log.load(manager, head);
  }

  private async add(
    manager: EntityManager,
    state: LogState,
    batch: Batch,
    sorted: Sorted,
  ): Promise<{ after: LogState; added: Added; report: QuarantineReport }> {
    const { addition, quarantined } = this.additionOf(state, batch, sorted);
    const added = await this.log.add(manager, addition);
    const report = this.quarantine.report(newOnes(quarantined, added.quarantined));
    await this.outbox.events(manager, report.events);
    return { after: addition.after, added, report };
  }

  private additionOf(
    before: LogState,
    batch: Batch,
    { fresh, conflicts }: Sorted,
  ): { addition: Addition; quarantined: readonly QuarantinedMessage[] } {
    const { state: after, tiles } = before.after(fresh.map(({ hash }) => hash));
    const quarantined = [...batch.quarantined, ...conflicts];
    const places = [
      ...batch.leaves.map(({ record }) => record),
      ...quarantined.flatMap(({ place }) => place ?? []),
    ];
    const now = new Date(this.clock.wallMs()).toISOString();
    const received = receivedRanges(places);
    return { addition: { leaves: fresh, tiles, after, quarantined, received, now }, quarantined };
  }

  private keep(after: LogState, committed: Committed): Committed {
    this.state = after;
    this.quarantine.count(committed.report);
    return committed;
  }

  private async sortByLog(manager: EntityManager, once: Sorted): Promise<Sorted> {
    const times = once.fresh.map(({ record }) => record.time).sort();
    const [earliest, latest] = [times.at(0), times.at(-1)];
    if (earliest === undefined || latest === undefined) return once;
    const ids = once.fresh.map(({ record }) => record.id);
    const kept = await this.log.find(manager, ids, earliest, latest);
    return sort(once, (leaf) => kept.get(leaf.record.id));
  }
}

/** One batch may hold an event twice. */
function sortByEachOther(leaves: readonly Leaf[]): Sorted {
  const once: Sorted = { fresh: leaves, known: 0, conflicts: [] };
  if (new Set(leaves.map(({ record }) => record.id)).size === leaves.length) return once;
  const seen = new Map<string, KeptEvent>();
  return sort(once, (leaf) => {
    const before = seen.get(leaf.record.id);
    if (before === undefined) seen.set(leaf.record.id, { ...leaf.record, leafHash: leaf.hash });
    return before;
  });
}

function sort(before: Sorted, find: (leaf: Leaf) => KeptEvent | undefined): Sorted {
  const fresh: Leaf[] = [];
  const conflicts = [...before.conflicts];
  let { known } = before;
  for (const leaf of before.fresh) {
    const kept = find(leaf);
    if (kept === undefined) fresh.push(leaf);
    else if (isSame(leaf.record, kept)) known += 1;
    else conflicts.push(refusedEvent(leaf, 'id_conflict', 'another event has been recorded under this id'));
  }
  return { fresh, known, conflicts };
}

/**
 * Whether an event is the one that is kept. Both were signed by the producer, perhaps with a key each; and one whose
 * subject was forgotten meanwhile is sealed under another key now, so that its number has to tell.
 */
function isSame(record: LogRecord, kept: KeptEvent): boolean {
  const { recordedAt, signature } = kept;
  if (leafHash(recordLine({ ...record, recordedAt, signature })).equals(kept.leafHash)) return true;
  return (
    kept.subjectId !== null &&
    kept.subjectId !== record.subjectId &&
    kept.source === record.source &&
    kept.incarnation === record.incarnation &&
    kept.sequence === record.sequence
  );
}

function newOnes(messages: readonly QuarantinedMessage[], digests: readonly string[]): QuarantinedMessage[] {
  if (digests.length === 0) return [];
  const byDigest = new Map(messages.map((message) => [message.digest.toString('hex'), message]));
  return digests.flatMap((digest) => byDigest.get(digest) ?? []);
}

function toCommitted({ fresh, known, conflicts }: Sorted, batch: Batch, report: QuarantineReport): Committed {
  return {
    added: fresh.length,
    known,
    quarantined: [...batch.quarantined, ...conflicts],
    report,
  };
}
