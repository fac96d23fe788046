import type { Headers } from '../headers.js';

/** A message handed to a handler of `@Consume`. The server settles it by how the handler ends. */
export interface Delivery {
  /** The parsed JSON; undefined for a consumer with `raw`. */
  readonly body: unknown;
  /** The body as it was sent; signatures are over these bytes. */
  readonly bytes: Uint8Array;
  readonly subject: string;
  readonly headers: Headers;
  /** Place in the stream. */
  readonly seq: number;
  /** When the stream stored it, milliseconds since 1970. */
  readonly storedAtMs: number;
  /** 1 the first time, more when it was handed out before and not settled. */
  readonly deliveries: number;
  /** Asks for another `ack_wait`; done by itself for as long as the handler runs. */
  working(): void;
  /** Batch mode: this message alone goes to the dead letters. In single mode throw `Poison`. */
  reject(reason: string): void;
  /**
   * What it needs is not there yet: it is handed out again after about `delay_ms`, and counts as unsettled until then. The
   * handler bounds how often, by `deliveries`.
   */
  later(delay_ms: number): void;
}

/**
 * Thrown for a message that no repetition mends: it goes to the dead letters at once. The reason is stored there and
 * logged, so it must quote no secret.
 */
export class Poison extends Error {
  override readonly name = 'Poison';

  constructor(
    readonly reason: string,
    options?: { cause?: unknown },
  ) {
    super(`poison: ${reason}`, options);
  }
}
