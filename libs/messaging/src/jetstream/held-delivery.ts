import type { JsMsg } from '@nats-io/jetstream';
import { readMessageHeaders, type Headers } from '../headers.js';
import { parseBody } from '../json-body.js';
import { Poison, type Delivery } from './delivery.js';

/**
 * A message that was handed to this process and is not settled yet, as its handler sees it. Thousands wait at a time, so
 * one object is made for each, and nothing is read of the message before somebody asks.
 */
export class HeldDelivery implements Delivery {
  body: unknown = undefined;
  readonly bytes: Uint8Array;
  readonly deliveries: number;
  readonly seq: number;
  /** Why the handler rejected it, once it has. */
  rejected: string | null = null;
  /** When the handler wants it again, from now; null: not. */
  later_ms: number | null = null;
  private readHeaders: Headers | null = null;

  constructor(readonly message: JsMsg) {
    this.bytes = message.data;
    const { deliveryCount, streamSequence } = message.info;
    this.deliveries = deliveryCount;
    this.seq = streamSequence;
  }

  get subject(): string {
    return this.message.subject;
  }

  get headers(): Headers {
    return (this.readHeaders ??= readMessageHeaders(this.message));
  }

  get storedAtMs(): number {
    return this.message.time.getTime();
  }

  working(): void {
    this.message.working();
  }

  reject(reason: string): void {
    this.rejected = reason;
  }

  later(delay_ms: number): void {
    this.later_ms = delay_ms;
  }

  /** Throws `Poison` where the body is not JSON of a bounded size. */
  parse(): void {
    try {
      this.body = parseBody(this.bytes);
    } catch (error) {
      throw new Poison(error instanceof Error ? error.message : 'not readable', { cause: error });
    }
  }
}
