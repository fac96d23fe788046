import type { Delivery } from '#libs/messaging';
import { lazyCounter, LOGGER, type Logger } from '#libs/telemetry';
import { Inject, Injectable } from '@nestjs/common';
import { EventRepository, isFaultOfTheData, type Recorded } from './event.repository.js';
import {
  classify,
  isEvent,
  quarantined,
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
 *   decode each -> one transaction (events, quarantine) -> commit -> [the caller acknowledges]
 *
 * It returns only after the commit, so what is acknowledged is recorded. What comes again is found by its id and left
 * alone. What does not decode is put aside with the reason. Only a failing database makes it throw.
 */
@Injectable()
export class IngestionService {
  private ingested = 0;
  private known = 0;
  private putAside = 0;

  constructor(
    private readonly repository: EventRepository,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async record(deliveries: readonly Delivery[]): Promise<void> {
    const classified = deliveries.map(classify);
    const events = classified.filter(isEvent);
    const aside = classified.filter((it): it is QuarantinedMessage => !isEvent(it));
    try {
      this.count(events.length, aside, await this.repository.add(events, aside));
    } catch (error) {
      if (!isFaultOfTheData(error)) throw error;
      await this.recordOneByOne(events, aside);
    }
  }

  counts(): IngestionCounts {
    return { ingested: this.ingested, known: this.known, quarantined: this.putAside };
  }

  /** One event that the database cannot hold must not keep the others out: it is found and put aside. */
  private async recordOneByOne(
    events: readonly RecordedEvent[],
    aside: readonly QuarantinedMessage[],
  ): Promise<void> {
    this.count(0, aside, await this.repository.add([], aside));
    for (const event of events) {
      try {
        this.count(1, [], await this.repository.add([event], []));
      } catch (error) {
        if (!isFaultOfTheData(error)) throw error;
        const refused = quarantined(event.message, `the database refuses it: ${(error as Error).message}`);
        this.count(0, [refused], await this.repository.add([], [refused]));
      }
    }
  }

  private count(offered: number, aside: readonly QuarantinedMessage[], added: Recorded): void {
    this.ingested += added.events;
    this.known += offered - added.events;
    this.putAside += added.quarantined;
    recordedEvents.add(added.events, { outcome: 'new' });
    recordedEvents.add(offered - added.events, { outcome: 'known' });
    recordedEvents.add(added.quarantined, { outcome: 'quarantined' });
    for (const { message, reason } of aside) {
      this.logger.warn(
        { subject: message.subject, streamSeq: message.streamSeq, reason },
        'message quarantined',
      );
    }
  }
}
