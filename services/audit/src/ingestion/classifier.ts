import { eventHeaders, eventTypes, QuarantineCode } from '#libs/contracts';
import { CLOCK, type Clock } from '#libs/clock';
import { decodeEvent, header, Poison, type Delivery } from '#libs/messaging';
import { Inject, Injectable } from '@nestjs/common';
import { quarantined, toMessage, type QuarantinedMessage, type RecordedEvent } from './recorded-event.js';

/** What a delivery is. */
export type Classified =
  | { readonly kind: 'event'; readonly event: RecordedEvent }
  | { readonly kind: 'quarantined'; readonly message: QuarantinedMessage };

/** Tells what deliveries are: never throws for what a sender did wrong. */
@Injectable()
export class Classifier {
  constructor(@Inject(CLOCK) private readonly clock: Clock) {}

  /** In the order of the deliveries, one for each. */
  async classify(deliveries: readonly Delivery[]): Promise<Classified[]> {
    const recordedAt = new Date(this.clock.wallMs()).toISOString();
    return await Promise.all(
      deliveries.map(async (delivery) => await this.classifyOne(delivery, recordedAt)),
    );
  }

  private async classifyOne(delivery: Delivery, recordedAt: string): Promise<Classified> {
    const message = toMessage(delivery);
    try {
      const { attributes, type } = decodeEvent(delivery);
      requireExactTime(attributes.time);
      const { severity, retention } = eventTypes[type];
      const { id, source, incarnation, sequence, subject, actor, time, traceparent = null } = attributes;
      const signature = header(delivery.headers, eventHeaders.signature) ?? null;
      const data = Buffer.from(delivery.bytes).toString('utf8');
      return await Promise.resolve({
        kind: 'event',
        event: {
          message,
          record: {
            ...{ v: 1, id, source, incarnation, sequence, type, subject, severity, retention, actor },
            ...{ subjectId: null, time, traceparent, recordedAt, signature, data },
          },
        },
      });
    } catch (error) {
      if (!(error instanceof Poison)) throw error;
      const source = header(delivery.headers, eventHeaders.source) ?? null;
      return {
        kind: 'quarantined',
        message: quarantined(message, { code: codeOf(error.reason), reason: error.reason, source }),
      };
    }
  }
}

function codeOf(reason: string): QuarantineCode {
  if (reason.startsWith('unknown event type')) return 'unknown_type';
  if (reason.includes('does not belong on')) return 'wrong_subject';
  return reason.startsWith('data of') ? 'bad_data' : 'bad_attributes';
}

/** The signature covers the time as text; only in this form does the column give the same text back. */
function requireExactTime(time: string): void {
  const instant = new Date(time);
  if (Number.isNaN(instant.getTime()) || instant.toISOString() !== time)
    throw new Poison('the time must be UTC with milliseconds, as 2026-01-31T12:00:00.000Z');
}
