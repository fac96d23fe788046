import type { Delivery } from '#libs/messaging';
import { lazyCounter } from '#libs/telemetry';
import { Injectable } from '@nestjs/common';
import { Classifier } from '../classification/classifier.js';
import { Committer, type Batch, type Committed } from './committer.js';
import { EventSealer } from '../privacy/event.sealer.js';
import { faultOfTheData } from './log.repository.js';
import {
  quarantined,
  refusedEvent,
  toLeaf,
  type Leaf,
  type QuarantinedMessage,
  type RecordedEvent,
} from './recorded-event.js';

const recordedEvents = lazyCounter(
  'tradefleet.audit.events',
  'Deliveries by outcome: new, known, quarantined',
);

export interface IngestionCounts {
  /** Since the start of this process. */
  readonly ingested: number;
  readonly known: number;
  readonly quarantined: number;
}

/**
 * Records batches of the stream of events:
 *
 *   classify -> seal -> hash -> one transaction (committer.ts) -> [the caller acknowledges]
 *
 * It returns only after the commit, so what is acknowledged is recorded. What comes again is found by its id and left
 * alone. What is no event, or not its producer's, is put aside with the reason. Only a failing database makes it throw.
 * While one batch is committed the next is prepared.
 */
@Injectable()
export class IngestionService {
  private ingested = 0;
  private known = 0;
  private putAside = 0;

  constructor(
    private readonly classifier: Classifier,
    private readonly sealer: EventSealer,
    private readonly committer: Committer,
  ) {}

  async record(deliveries: readonly Delivery[]): Promise<void> {
    try {
      await this.commit(await this.prepare(deliveries));
    } catch (error) {
      this.classifier.notRecorded();
      throw error;
    }
  }

  counts(): IngestionCounts {
    return { ingested: this.ingested, known: this.known, quarantined: this.putAside };
  }

  private async prepare(deliveries: readonly Delivery[]): Promise<Batch> {
    const events: RecordedEvent[] = [];
    const aside: QuarantinedMessage[] = [];
    for (const [index, it] of (await this.classifier.classify(deliveries)).entries())
      if (it.kind === 'event') events.push(it.event);
      else if (it.kind === 'quarantined') aside.push(it.message);
      else deliveries[index]?.later(it.delay_ms);
    const leaves: Leaf[] = [];
    for (const sealed of await this.sealer.seal(events))
      if ('refused' in sealed) aside.push(quarantined(sealed.refused.message, sealed.cause));
      else leaves.push(toLeaf(sealed));
    return { leaves, quarantined: aside };
  }

  /** One event that the database cannot hold must not keep the others out: halves are tried until it is found. */
  private async commit(batch: Batch): Promise<void> {
    if (batch.leaves.length + batch.quarantined.length === 0) return;
    try {
      this.count(await this.committer.commit(batch));
    } catch (error) {
      const state = faultOfTheData(error);
      const parts = state === null ? [] : smallerThan(batch, state);
      if (parts.length === 0) throw error;
      for (const part of parts) await this.commit(part);
    }
  }

  private count({ added, known, report }: Committed): void {
    const aside = report.messages.length;
    this.ingested += added;
    this.known += known;
    this.putAside += aside;
    recordedEvents.add(added, { outcome: 'new' });
    recordedEvents.add(known, { outcome: 'known' });
    recordedEvents.add(aside, { outcome: 'quarantined' });
  }
}

/** Smaller batches instead of one that the database refused; an event that was alone in it is put aside. */
function smallerThan({ leaves, quarantined: aside }: Batch, sqlState: string): Batch[] {
  const [only] = leaves;
  if (only !== undefined && leaves.length === 1 && aside.length === 0) {
    const refused = refusedEvent(
      only,
      'refused_by_database',
      `the database refuses it (SQLSTATE ${sqlState})`,
    );
    return [{ leaves: [], quarantined: [refused] }];
  }
  const half = Math.ceil((leaves.length + aside.length) / 2);
  if (half < 1 || leaves.length + aside.length === 1) return [];
  const all = [...leaves.map((leaf) => ({ leaf })), ...aside.map((message) => ({ message }))];
  return [all.slice(0, half), all.slice(half)].map((part) => ({
    leaves: part.flatMap((it) => ('leaf' in it ? it.leaf : [])),
    quarantined: part.flatMap((it) => ('message' in it ? it.message : [])),
  }));
}
