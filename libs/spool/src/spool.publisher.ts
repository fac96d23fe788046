import type { Clock } from '#libs/clock';
import type { EventData, EventTypeName } from '#libs/contracts';
import {
  ConfirmationLoop,
  encodeSignedEvents,
  type AskWatermark,
  type EventToEncode,
  type Messaging,
  type OutgoingMessage,
  type SigningKey,
} from '#libs/messaging';
import { metricNames, type Logger } from '#libs/telemetry';
import { metrics, type ObservableResult } from '@opentelemetry/api';
import type { EventSpool, SpoolDatabase, SpooledEvent } from './event-spool.js';

/** Events handed to the broker at a time, and how many of them may be under way. */
const batch_max = 256;
const window = 64;
const pause_ms_first = 250;
const pause_ms_max = 10_000;
/** Looks at the spool this often even when nobody called. */
const look_ms = 5000;

export interface SpoolPublisherParts {
  readonly spool: EventSpool;
  readonly db: Pick<SpoolDatabase, 'commit'>;
  /** Throws while there is none; then it is tried again. */
  readonly messaging: () => Messaging;
  /** CloudEvents source of the producer, and the key its events are signed with. */
  readonly source: string;
  readonly signingKey: SigningKey;
  readonly ask: AskWatermark;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Brings a spool to the broker, sign, publish, mark, and asks the audit service what need not be kept any more. A crash
 * in between publishes again under the same id, which the stream stores once. An event that is published again is the
 * same but for its signature, which it may then share with others.
 */
export class SpoolPublisher {
  readonly #stop = new AbortController();
  readonly #confirmation: ConfirmationLoop;
  #loop: Promise<void> | null = null;

  constructor(private readonly parts: SpoolPublisherParts) {
    const { spool, ask, source, clock, logger } = parts;
    this.#confirmation = new ConfirmationLoop(spool, ask, { source, clock, logger });
  }

  start(): void {
    if (this.#loop !== null) return;
    this.#loop = this.#run();
    this.#confirmation.start();
    this.#gauge().addCallback(this.#observe);
  }

  /** Stops after what is under way. Call `flush` before to send the rest. */
  async close(): Promise<void> {
    this.#gauge().removeCallback(this.#observe);
    this.#stop.abort();
    await Promise.all([this.#loop, this.#confirmation.stop()]);
  }

  /** Waits until all of it is with the broker, at most `bound_ms`. */
  async flush(bound_ms: number): Promise<boolean> {
    const { spool, clock } = this.parts;
    const giveUp_ms = clock.monotonicMs() + bound_ms;
    while (spool.waiting > 0 && clock.monotonicMs() < giveUp_ms) {
      spool.news.call();
      await clock.sleep(20);
    }
    return spool.waiting === 0;
  }

  async #run(): Promise<void> {
    const { spool, clock } = this.parts;
    const stop = this.#stop.signal;
    let pause_ms = pause_ms_first;
    while (!stop.aborted) {
      const outcome = await this.#publishSome();
      if (outcome === 'failed') {
        await this.#pause(pause_ms);
        pause_ms = Math.min(pause_ms * 2, pause_ms_max);
        continue;
      }
      pause_ms = pause_ms_first;
      if (outcome === 'empty') await spool.news.wait(clock, look_ms, stop);
    }
  }

  async #pause(ms: number): Promise<void> {
    try {
      await this.parts.clock.sleep(ms, this.#stop.signal);
    } catch (error) {
      if (!this.#stop.signal.aborted) throw error;
    }
  }

  async #publishSome(): Promise<'empty' | 'some' | 'failed'> {
    const { spool, db, messaging, logger } = this.parts;
    try {
      const events = spool.next(batch_max);
      if (events.length === 0) return 'empty';
      const messages = await this.#encode(events);
      const outcomes = await messaging().publishDurableAll(messages, { window });
      const stored = events.filter((_, index) => outcomes[index]?.ok === true);
      // With a full disk it stays to be published: under the same id, which the stream stores once.
      if (stored.length > 0) await db.commit(() => spool.markPublished(stored));
      const failed = outcomes.find((outcome) => !outcome.ok);
      if (failed === undefined) return 'some';
      logger.warn({ code: failed.error.code, waiting: spool.waiting }, 'events wait for the broker');
      return 'failed';
    } catch (error) {
      logger.error({ err: error }, 'events could not be published');
      return 'failed';
    }
  }

  async #encode(events: readonly SpooledEvent[]): Promise<OutgoingMessage[]> {
    const { source, signingKey } = this.parts;
    const told = events.map((event): EventToEncode => ({
      type: event.type,
      subjectId: event.subjectId,
      // Parsed by the catalogue's schema of its type when it was appended, and again when it is encoded.
      data: event.data as EventData<EventTypeName>,
      actor: event.actor,
      ...(event.traceparent === null ? {} : { traceparent: event.traceparent }),
      time: event.time,
      id: event.id,
      source,
      incarnation: event.incarnation,
      sequence: event.sequence,
    }));
    const messages = await encodeSignedEvents(told, signingKey);
    // Within its window a stream stores a message id once, also one of what it has lost since.
    return messages.map((message, index) => {
      const refills = events[index]?.refills ?? 0;
      return refills === 0 ? message : { ...message, messageId: `${message.messageId}.${refills}` };
    });
  }

  #gauge() {
    return metrics.getMeter('tradefleet').createObservableGauge(metricNames.events_unconfirmed, {
      description: 'Events kept until recorded',
    });
  }

  readonly #observe = (result: ObservableResult): void => {
    const { spool, source } = this.parts;
    result.observe(spool.kept - spool.waiting, { source });
  };
}
