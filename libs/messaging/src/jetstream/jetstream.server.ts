import { Server, type CustomTransportStrategy } from '@nestjs/microservices';
import type { ConsumerSpec } from '#libs/contracts';
import type { Messaging } from '../messaging.js';
import { JETSTREAM } from '../transports.js';

export interface ConsumerOptions {
  readonly spec: ConsumerSpec;
  /** What `@Consume` calls it; default the durable's name. */
  readonly name?: string;
  /** Handlers at a time; default 16, with `batch` 1. */
  readonly concurrency?: number;
  /** Hands out arrays of up to `max` messages, gathered for at most `waitMs`. */
  readonly batch?: { readonly max: number; readonly waitMs: number };
}

export interface JetStreamServerOptions {
  readonly consumers: readonly ConsumerOptions[];
  /** How long a shutdown waits for handlers. Default 10 000. */
  readonly graceMs?: number;
}

export class JetStreamServer extends Server implements CustomTransportStrategy {
  override readonly transportId = JETSTREAM;
  override readonly propagatesEventHandlerErrors = true;

  constructor(
    protected readonly messaging: Messaging,
    protected readonly options: JetStreamServerOptions,
  ) {
    super();
  }

  listen(callback: (error?: unknown) => void): void {
    callback(new Error('being written'));
  }

  async close(): Promise<void> {}

  on(): never {
    throw new Error('no events');
  }

  unwrap<T>(): T {
    return this.messaging as T;
  }
}
