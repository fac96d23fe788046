import { CLOCK, type Clock } from '#libs/clock';
import { recordLine, type LogRecord } from '#libs/contracts';
import { Outbox } from '#libs/persistence';
import { leafHash } from '#libs/tlog';
import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { QuarantineReports, type QuarantineReport } from '../quarantine/quarantine.reports.js';
import { faultOfTheData, LogRepository, type Added, type KeptEvent } from './log.repository.js';
import type { LogState } from './log.state.js';
import { Partitions } from './partitions.js';
import { placeOf, refusedEvent, type Leaf, type QuarantinedMessage } from './recorded-event.js';
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
 *   lock head -> [load state if the head has moved] -> one statement: events, tiles, producers, quarantine, head -> commit
 *
 * It takes all events for new ones. When the database has some already, the transaction is rolled back, and the batch is
 * sorted by what the log holds first. So positions have no gaps, and a batch fails or is committed as a whole.
 */
@Injectable()
export class Committer {
  private readonly turns = new Turns();
  /** Null when it is not known how far the log is: at the start and after a failure. */
  private state: LogState | null = null;

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
      return (await this.addFresh(batch, once)) ?? (await this.addSorted(batch, once));
    } catch (error) {
      // A commit of which no answer came may have happened.
      this.state = null;
      throw error;
    }
  }

  /** Null, and nothing done, when some are in the log already. */
  private async addFresh(batch: Batch, sorted: Sorted): Promise<Committed | null> {
    try {
      const { after, committed } = await this.log.transaction(async (manager) => {
        const { after, added, report } = await this.add(manager, await this.current(manager), batch, sorted);
        if (added.events < sorted.fresh.length) throw new SomeAreKnown();
        return { after, committed: toCommitted(sorted, batch, report) };
      });
      return this.keep(after, committed);
    } catch (error) {
      if (error instanceof SomeAreKnown) return null;
      throw error;
    }
  }

  private async addSorted(batch: Batch, once: Sorted): Promise<Committed> {
    const { after, committed } = await this.log.transaction(async (manager) => {
      const state = await this.current(manager);
      const sorted = await this.sortByLog(manager, once);
      const { after, added, report } = await this.add(manager, state, batch, sorted);
      if (added.events < sorted.fresh.length) throw new Error('Somebody adds to the log without its lock.');
      return { after, committed: toCommitted(sorted, batch, report) };
    });
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
    { fresh, conflicts }: Sorted,
  ): Promise<{ after: LogState; added: Added; report: QuarantineReport }> {
    const { state: after, tiles } = state.after(fresh.map(({ hash }) => hash));
    const quarantined = [...batch.quarantined, ...conflicts];
    const places = [
      ...batch.leaves.map(({ record }) => placeOf(record)),
      ...quarantined.flatMap(({ place }) => place ?? []),
    ];
    const now = new Date(this.clock.wallMs()).toISOString();
    const addition = { leaves: fresh, tiles, after, quarantined, received: receivedRanges(places), now };
    const added = await this.log.add(manager, addition);
    const report = this.quarantine.report(newOnes(quarantined, added.quarantined));
    await this.outbox.events(manager, report.events);
    return { after, added, report };
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

/** Rolls the transaction back. */
class SomeAreKnown extends Error {}

/** One batch may hold an event twice. */
function sortByEachOther(leaves: readonly Leaf[]): Sorted {
  const seen = new Map<string, KeptEvent>();
  return sort({ fresh: leaves, known: 0, conflicts: [] }, (leaf) => {
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
