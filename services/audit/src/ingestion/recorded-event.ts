import { createHash } from 'node:crypto';
import { eventHeaders, eventTypes, type EventAttributes, type Severity } from '#libs/contracts';
import { decodeEvent, header, Poison, type Delivery } from '#libs/messaging';

/** What a message of the stream comes to. */
export interface ReceivedMessage {
  /** The stream's sequence, decimal. */
  readonly streamSeq: number;
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
  /** As sent. */
  readonly bytes: Uint8Array;
}

/** An event as it stands in `audit.events`. */
export interface RecordedEvent {
  readonly message: ReceivedMessage;
  readonly attributes: EventAttributes;
  readonly entity: string;
  readonly entityId: string;
  readonly severity: Severity;
  readonly signature: string | null;
  /** The body's text, untouched. */
  readonly data: string;
}

/** A message that is no event, for `audit.quarantine`. */
export interface QuarantinedMessage {
  readonly message: ReceivedMessage;
  readonly digest: Buffer;
  /** Quotes nothing of the data. */
  readonly reason: string;
}

const reason_chars_max = 500;

/** Tells what a delivery is: never throws for what the sender did wrong. */
export function classify(delivery: Delivery): RecordedEvent | QuarantinedMessage {
  const message: ReceivedMessage = {
    streamSeq: delivery.seq,
    subject: delivery.subject,
    headers: delivery.headers,
    bytes: delivery.bytes,
  };
  try {
    const { attributes, type, entity, entityId } = decodeEvent(delivery);
    requireExactTime(attributes.time);
    return {
      message,
      attributes,
      entity,
      entityId,
      severity: eventTypes[type].severity,
      signature: header(delivery.headers, eventHeaders.signature) ?? null,
      data: Buffer.from(delivery.bytes).toString('utf8'),
    };
  } catch (error) {
    if (error instanceof Poison) return quarantined(message, error.reason);
    throw error;
  }
}

export const isEvent = (it: RecordedEvent | QuarantinedMessage): it is RecordedEvent => 'attributes' in it;

export function quarantined(message: ReceivedMessage, reason: string): QuarantinedMessage {
  const digest = createHash('sha256')
    .update(JSON.stringify([message.subject, Object.entries(message.headers).sort()]))
    .update('\n')
    .update(message.bytes)
    .digest();
  return { message, digest, reason: reason.slice(0, reason_chars_max) };
}

/** The signature covers the time as text; only in this form does the column give the same text back. */
function requireExactTime(time: string): void {
  const instant = new Date(time);
  if (Number.isNaN(instant.getTime()) || instant.toISOString() !== time)
    throw new Poison('the time must be UTC with milliseconds, as 2026-01-31T12:00:00.000Z');
}
