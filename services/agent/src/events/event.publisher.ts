import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import type { EventData, EventTypeName } from '#libs/contracts';
import { encodeSignedEvent, type OutgoingMessage } from '#libs/messaging';
import { LOGGER, type Logger } from '#libs/telemetry';
import { isAbort } from '../errors.js';
import { Broker } from '../host/broker.js';
import { Identity } from '../identity/identity.js';
import { AgentDatabase } from '../state/agent.database.js';
import { EventSpool, type SpooledEvent } from './event-spool.js';

/** Events handed to the broker at a time, and how many of them may be under way. */
const batch_max = 256;
const window = 64;
const pause_ms_first = 250;
const pause_ms_max = 10_000;
/** Looks at the spool this often even when nobody called. */
const look_ms = 5000;

/**
 * Brings the spool to the broker in order: sign, publish, delete once the broker has stored it. A crash in between
 * publishes again under the same id, which the stream stores once. Ed25519 signs the same bytes the same way, so a
 * repeated event is the same message to the bit.
 */
@Injectable()
export class EventPublisher {
  readonly #stop = new AbortController();
  #loop: Promise<void> | null = null;

  constructor(
    private readonly spool: EventSpool,
    private readonly broker: Broker,
    private readonly identity: Identity,
    private readonly db: AgentDatabase,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  start(): void {
    this.#loop ??= this.#run();
  }

  /** Stops after what is under way. Call `flush` before to send the rest. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }

  /** Waits until the spool is empty, at most `bound_ms`. */
  async flush(bound_ms: number): Promise<boolean> {
    const giveUp_ms = this.clock.monotonicMs() + bound_ms;
    while (this.spool.waiting > 0 && this.clock.monotonicMs() < giveUp_ms) {
      this.spool.news.call();
      await this.clock.sleep(20);
    }
    return this.spool.waiting === 0;
  }

  async #run(): Promise<void> {
    const stop = this.#stop.signal;
    let pause_ms = pause_ms_first;
    try {
      while (!stop.aborted) {
        const outcome = await this.#publishSome();
        if (outcome === 'failed') {
          await this.clock.sleep(pause_ms, stop);
          pause_ms = Math.min(pause_ms * 2, pause_ms_max);
          continue;
        }
        pause_ms = pause_ms_first;
        if (outcome === 'empty') await this.spool.news.wait(this.clock, look_ms, stop);
      }
    } catch (error) {
      if (!isAbort(error)) throw error;
    }
  }

  async #publishSome(): Promise<'empty' | 'some' | 'failed'> {
    try {
      const events = this.spool.oldest(batch_max);
      if (events.length === 0) return 'empty';
      const messages = await Promise.all(events.map(async (event) => await this.#encode(event)));
      const outcomes = await this.broker.messaging.publishDurableAll(messages, { window });
      const stored = events.filter((_, index) => outcomes[index]?.ok === true);
      if (stored.length > 0) await this.db.commit(() => this.spool.remove(stored.map((e) => e.position)));
      const failed = outcomes.find((outcome) => !outcome.ok);
      if (failed === undefined) return 'some';
      this.logger.warn(
        { code: failed.error.code, waiting: this.spool.waiting },
        'events wait for the broker',
      );
      return 'failed';
    } catch (error) {
      this.logger.error({ err: error }, 'events could not be published');
      return 'failed';
    }
  }

  async #encode(event: SpooledEvent): Promise<OutgoingMessage> {
    return await encodeSignedEvent(
      {
        type: event.type,
        subjectId: event.subjectId,
        // Parsed by the catalogue's schema of its type when it was appended, and again when it is encoded.
        data: event.data as EventData<EventTypeName>,
        actor: event.actor,
        ...(event.traceparent === null ? {} : { traceparent: event.traceparent }),
        time: event.time,
        id: event.id,
        source: this.identity.source,
        incarnation: event.incarnation,
        sequence: event.sequence,
      },
      this.identity.signingKey,
    );
  }
}
