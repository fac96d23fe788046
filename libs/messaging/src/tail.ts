import type { JetStreamClient, JsMsg } from '@nats-io/jetstream';
import { streams } from '#libs/contracts';
import type { Logger } from '#libs/telemetry';
import { readMessageHeaders, type Headers } from './headers.js';

/** A message of a live stream. */
export interface TailedMessage {
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly headers: Headers;
  /** Place in the stream; give the last one seen plus 1 as `sinceSeq` to go on. */
  readonly seq: number;
  /** When the stream stored it, milliseconds since 1970. */
  readonly storedAtMs: number;
}

export interface TailOptions {
  /** Default: the stream of events. */
  readonly stream?: string;
  /** From this place on. */
  readonly sinceSeq?: number;
  /** From this time on. */
  readonly sinceTime?: Date;
  /** Only what comes from now on. The default where neither of the others is given. */
  readonly newOnly?: boolean;
}

/** Must not block: messages wait behind it. What it throws is logged and the tail goes on. */
export type TailHandler = (message: TailedMessage) => void;
export type StopTail = () => Promise<void>;

const prefetch_max = 256;
/** The server removes the consumer of a tail when nobody has pulled for as long; nobody needs the right to delete one. */
const reader_gone_ms = 60_000;
const probe_ms = 5000;
/** One pull; half of it is the interval of signs of life, and all of it the pause before a lost consumer is made anew. */
const pull_ms = 5000;

/** See `Messaging.tail`. */
export async function startTail(
  js: JetStreamClient,
  logger: Logger,
  filterSubject: string,
  handler: TailHandler,
  { stream = streams.events.name, sinceSeq, sinceTime }: TailOptions,
): Promise<StopTail> {
  const first_seq =
    sinceSeq ??
    (sinceTime === undefined ? await nextSeq(js, stream) : await seqAt(js, stream, filterSubject, sinceTime));
  const consumer = await js.consumers.get(stream, {
    opt_start_seq: Math.max(1, first_seq),
    filter_subjects: filterSubject,
    inactive_threshold: reader_gone_ms,
  });
  const callback = (message: JsMsg): void => {
    // A recreated consumer that had seen nothing yet starts at the beginning of the stream.
    if (message.seq < first_seq) return;
    try {
      handler({
        subject: message.subject,
        bytes: message.data,
        headers: readMessageHeaders(message),
        seq: message.seq,
        storedAtMs: message.time.getTime(),
      });
    } catch (error) {
      logger.error({ err: error, subject: message.subject, seq: message.seq }, 'handler of a tail failed');
    }
  };
  const messages = await consumer.consume({ max_messages: prefetch_max, expires: pull_ms, callback });
  return async () => {
    await messages.close();
  };
}

/** The place the next message of the stream will have. */
async function nextSeq(js: JetStreamClient, stream: string): Promise<number> {
  const info = await (await js.streams.get(stream)).info();
  return info.state.last_seq + 1;
}

/**
 * The place of the first message stored at or after a time. Asked of a consumer that starts there, because an ordered
 * consumer with a start time cannot be recreated after a gap: it would have both a time and a place to start from.
 */
async function seqAt(
  js: JetStreamClient,
  stream: string,
  filterSubject: string,
  time: Date,
): Promise<number> {
  const probe = await js.consumers.get(stream, {
    opt_start_time: time.toISOString(),
    filter_subjects: filterSubject,
    inactive_threshold: probe_ms,
  });
  const { delivered } = await probe.info(true);
  return delivered.stream_seq + 1;
}
