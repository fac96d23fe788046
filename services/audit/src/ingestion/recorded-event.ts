import { createHash } from 'node:crypto';
import { eventHeaders, recordLine, type LogRecord, type QuarantineCode } from '#libs/contracts';
import type { Delivery } from '#libs/messaging';
import { leafHash } from '#libs/tlog';

/** What a message of the stream comes to. */
export interface ReceivedMessage {
  /** The stream's sequence. */
  readonly streamSeq: number;
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
  /** As sent. */
  readonly bytes: Uint8Array;
}

/** A number that a producer has given away, of which it is settled what became of it. */
export interface ProducerPlace {
  readonly source: string;
  readonly incarnation: string;
  readonly sequence: number;
}

/** An event that goes into the log. */
export interface RecordedEvent {
  readonly message: ReceivedMessage;
  /** As it is stored once it is sealed; `recordedAt` is of this process. */
  readonly record: LogRecord;
}

/** An event with its leaf, ready for a position. */
export interface Leaf extends RecordedEvent {
  readonly hash: Buffer;
}

/** A message for `audit.quarantine`. */
export interface QuarantinedMessage {
  readonly message: ReceivedMessage;
  /**
   * SHA-256 of subject, headers and body: the same message has the same, also when it is published again. Then it has
   * another signature; so that stands in it only where it is good, which is when nobody publishes it again.
   */
  readonly digest: Buffer;
  readonly code: QuarantineCode;
  /** Quotes nothing of the data. */
  readonly reason: string;
  /** As the message claims. */
  readonly source: string | null;
  /** Set where the signature was good: its producer need not send it again. */
  readonly place: ProducerPlace | null;
}

export interface QuarantineCause {
  readonly code: QuarantineCode;
  readonly reason: string;
  readonly source?: string | null;
  readonly place?: ProducerPlace | null;
}

const reason_chars_max = 500;

export const toMessage = ({ seq, subject, headers, bytes }: Delivery): ReceivedMessage => ({
  ...{ streamSeq: seq, subject, headers, bytes },
});

export function quarantined(message: ReceivedMessage, cause: QuarantineCause): QuarantinedMessage {
  const { code, source = null, place = null } = cause;
  const isOwn = place === null ? isOwnUnsigned : isOwnHeader;
  const headers = Object.entries(message.headers).filter(([name]) => isOwn(name));
  const digest = createHash('sha256')
    .update(JSON.stringify([message.subject, headers.sort()]))
    .update('\n')
    .update(message.bytes)
    .digest();
  return { message, digest, code, reason: cause.reason.slice(0, reason_chars_max), source, place };
}

/** Of the message, and not of its way: it may be published again under another message id. */
const isOwnHeader = (name: string): boolean => !/^nats-/i.test(name);

const isOwnUnsigned = (name: string): boolean =>
  isOwnHeader(name) && name.toLowerCase() !== eventHeaders.signature;

/** As `quarantined`, for an event that was recognised as its producer's. */
export const refusedEvent = (
  { message, record }: RecordedEvent,
  code: QuarantineCode,
  reason: string,
): QuarantinedMessage =>
  quarantined(message, { code, reason, source: record.source, place: placeOf(record) });

export const placeOf = ({ source, incarnation, sequence }: LogRecord): ProducerPlace => ({
  ...{ source, incarnation, sequence },
});

export const toLeaf = ({ message, record }: RecordedEvent): Leaf => ({
  ...{ message, record },
  hash: leafHash(recordLine(record)),
});
