import { JetStreamApiError, type JetStreamClient } from '@nats-io/jetstream';
import type { Clock } from '#libs/clock';
import { ProblemError } from '#libs/contracts';
import { lazyCounter, metricNames } from '#libs/telemetry';
import { backoffMs } from './connection.js';
import { writeHeaders, type Headers } from './headers.js';
import { isPermissionViolation } from './permission-violation.js';

/** A message on its way into a stream. */
export interface OutgoingMessage {
  readonly subject: string;
  /** `Nats-Msg-Id`: the stream stores it once within its window. */
  readonly messageId: string;
  readonly body: Uint8Array | string;
  readonly headers: Headers;
}

/** The server's word that the message is in the stream. */
export interface Stored {
  readonly seq: number;
  /** It was there already. */
  readonly duplicate: boolean;
}

export type PublishOutcome =
  | ({ readonly messageId: string; readonly ok: true } & Stored)
  | {
      readonly messageId: string;
      readonly ok: false;
      readonly error: ProblemError;
      /** The stream is at one of its bounds and refused this message; others may still fit. */
      readonly full: boolean;
    };

export interface PublishAllOptions {
  /** Messages under way at most. */
  readonly window: number;
  /** `stop`: after the first failure nothing more is sent, so that no gap is in what is stored. `continue`: all are tried. */
  readonly onFailure: 'stop' | 'continue';
}

const publish_ms_default = 10_000;
const attempt_ms_max = 3000;
const attempts_max = 6;
/** JetStream error codes that no repetition mends: maximum message size exceeded. */
const too_large_codes: ReadonlySet<number> = new Set([10_054]);
/** JetStream error code of a store that failed; with `discard new` that is a stream or a subject at its bound. */
const store_failed_code = 10_077;

const publishes = lazyCounter(metricNames.publishes, 'Durable publishes by outcome');

/** Publishes that are over only when the stream has the message. */
export class DurablePublisher {
  constructor(
    private readonly js: JetStreamClient,
    private readonly clock: Clock,
    private readonly isConnected: () => boolean,
  ) {}

  /** Same message id until it is stored, refused for good, or the time is up. */
  async publish(message: OutgoingMessage, timeoutMs = publish_ms_default): Promise<Stored> {
    const end_ms = this.clock.monotonicMs() + timeoutMs;
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.once(message, Math.min(attempt_ms_max, end_ms - this.clock.monotonicMs()));
      } catch (error) {
        const pause_ms = backoffMs(attempt);
        const over =
          attempt + 1 >= attempts_max || this.clock.monotonicMs() + pause_ms >= end_ms || !isRetryable(error);
        if (over) throw error;
        await this.clock.sleep(pause_ms);
      }
    }
  }

  async publishAll(
    messages: readonly OutgoingMessage[],
    { window, onFailure }: PublishAllOptions,
  ): Promise<PublishOutcome[]> {
    const outcomes = new Array<PublishOutcome | undefined>(messages.length);
    let next = 0;
    let failed = false;
    // Workers take the messages in order, so that each is handed to the connection after the one before it.
    const worker = async (): Promise<void> => {
      for (let index = next++; index < messages.length && !failed; index = next++) {
        const message = messages[index];
        if (message === undefined) return;
        const outcome = await this.outcomeOf(message);
        outcomes[index] = outcome;
        if (!outcome.ok && onFailure === 'stop') failed = true;
      }
    };
    const workers = Math.max(1, Math.min(window, messages.length));
    await Promise.all(Array.from({ length: workers }, worker));
    return messages.map((message, index) => outcomes[index] ?? notSent(message));
  }

  private async outcomeOf(message: OutgoingMessage): Promise<PublishOutcome> {
    try {
      return { messageId: message.messageId, ok: true, ...(await this.once(message, attempt_ms_max)) };
    } catch (error) {
      const problem = asProblem(error);
      return { messageId: message.messageId, ok: false, error: problem, full: isFull(problem) };
    }
  }

  private async once(message: OutgoingMessage, timeout_ms: number): Promise<Stored> {
    try {
      if (!this.isConnected())
        throw new ProblemError('unavailable', 'Try again: NATS is not connected at the moment.');
      const ack = await this.js.publish(message.subject, message.body, {
        msgID: message.messageId,
        headers: writeHeaders(message.headers),
        timeout: Math.max(1, timeout_ms),
      });
      publishes.add(1, { outcome: ack.duplicate ? 'duplicate' : 'stored' });
      return { seq: ack.seq, duplicate: ack.duplicate };
    } catch (error) {
      const problem = asProblem(error);
      publishes.add(1, { outcome: 'failed', code: problem.code });
      throw problem;
    }
  }
}

const isRetryable = (error: unknown): boolean => error instanceof ProblemError && error.retry;

function notSent({ messageId }: OutgoingMessage): PublishOutcome {
  const error = new ProblemError('unavailable', 'Try again: a message before this one could not be stored.');
  return { messageId, ok: false, error, full: false };
}

/** Whether the stream refused it because it is full, which no repetition mends while nobody takes messages out. */
const isFull = ({ cause }: ProblemError): boolean =>
  cause instanceof JetStreamApiError && cause.code === store_failed_code && /\bmaximum\b/.test(cause.message);

function asProblem(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  if (error instanceof JetStreamApiError && too_large_codes.has(error.code))
    return new ProblemError('payload_too_large', 'Make the message smaller: the stream refuses its size.', {
      cause: error,
    });
  if (isPermissionViolation(error))
    return new ProblemError('forbidden', 'Use a NATS user that may publish this message.', { cause: error });
  return new ProblemError('unavailable', 'Try again: the stream did not store the message.', {
    cause: error,
  });
}
