import type { JsMsg } from '@nats-io/jetstream';
import type { ConsumerSpec } from '#libs/contracts';
import { lazyCounter, metricNames } from '#libs/telemetry';
import { backoffMs } from '../connection.js';
import type { Messaging } from '../messaging.js';
import { storeDeadLetter } from './dead-letters.js';

export interface NakBackoff {
  readonly min_ms: number;
  readonly max_ms: number;
}

const deliveries = lazyCounter(metricNames.deliveries, 'Deliveries settled, by consumer and outcome');

/** The ways a delivery ends. None throws: what cannot be settled is delivered again. */
export class Settlement {
  constructor(
    private readonly messaging: Messaging,
    private readonly spec: ConsumerSpec,
    private readonly backoff: NakBackoff,
  ) {}

  /** Done. What is given together leaves in one write, and is taken by the server in as few reads. */
  ack(messages: readonly JsMsg[]): void {
    this.settle(messages, 'ack', (message) => message.ack());
  }

  /** To be delivered again, later each time. */
  nak(messages: readonly JsMsg[]): void {
    const { min_ms, max_ms } = this.backoff;
    this.settle(messages, 'nak', (message) =>
      message.nak(backoffMs(message.info.deliveryCount - 1, min_ms, max_ms)),
    );
  }

  /** To be delivered again when the handler wants it. */
  later(message: JsMsg, delay_ms: number): void {
    this.settle([message], 'later', () => message.nak(delay_ms));
  }

  /** To be delivered again at once, to whoever is there. */
  release(messages: readonly JsMsg[]): void {
    this.settle(messages, 'release', (message) => message.nak());
  }

  /** Given up: let go only once it is stored as a dead letter. */
  async dead(message: JsMsg, reason: string): Promise<void> {
    const { logger } = this.messaging;
    const fields = { consumer: this.spec.durable, subject: message.subject, seq: message.seq, reason };
    try {
      await storeDeadLetter(this.messaging, this.spec, message, reason);
    } catch (error) {
      logger.error({ ...fields, err: error }, 'dead letter not stored; the message will come again');
      this.nak([message]);
      return;
    }
    logger.warn({ ...fields, deliveries: message.info.deliveryCount }, 'message given up');
    // Without a reason: servers before 2.10.4 take a term with one for nothing at all.
    this.settle([message], 'dead', () => message.term());
  }

  private settle(messages: readonly JsMsg[], outcome: string, send: (message: JsMsg) => void): void {
    if (messages.length === 0) return;
    deliveries.add(messages.length, { consumer: this.spec.durable, outcome });
    for (const message of messages)
      try {
        send(message);
      } catch (error) {
        const fields = { err: error, consumer: this.spec.durable, seq: message.seq, outcome };
        this.messaging.logger.warn(fields, 'not settled; the message will come again');
      }
  }
}
