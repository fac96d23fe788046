import { Server, type CustomTransportStrategy, type MessageHandler } from '@nestjs/microservices';
import type { Messaging } from '../messaging.js';
import { endsWithin } from '../shutdown.js';
import { JETSTREAM } from '../transports.js';
import { ConsumerWorker, type ConsumerOptions } from './consumer-worker.js';
import type { NakBackoff } from './settlement.js';

export interface JetStreamServerOptions {
  readonly consumers: readonly ConsumerOptions[];
  /** How long a shutdown waits for handlers. Default 10 000. */
  readonly graceMs?: number;
  /** Pause before a failed message is delivered again, doubling from `min_ms` to `max_ms`. Default 500 to 30 000. */
  readonly nakBackoff?: NakBackoff;
}

const grace_ms_default = 10_000;
const flush_ms_max = 2000;
const backoff_default: NakBackoff = { min_ms: 500, max_ms: 30_000 };

/**
 * Gives the messages of durable pull consumers to `@Consume` handlers and settles them by how those end:
 *
 *                      single message                     batch
 *   handler resolves   ack                                ack of all but the rejected
 *   delivery.reject    dead letter                        dead letter of that one
 *   delivery.later     again, when it says                that one again, when it says
 *   throws Poison      dead letter                        as any other error
 *   throws else        again, later each time;            all again, later each time;
 *                      dead letter at `deliveries_max`    dead letter only for one that fails while others do not
 *
 * A dead letter is stored before the message is let go. Messages in work are kept from being delivered twice.
 */
export class JetStreamServer extends Server implements CustomTransportStrategy {
  override readonly transportId = JETSTREAM;
  /** Failures settle the message here; Nest must not log them a second time. */
  override readonly propagatesEventHandlerErrors = true;
  private workers: ConsumerWorker[] = [];

  constructor(
    private readonly messaging: Messaging,
    private readonly options: JetStreamServerOptions,
  ) {
    super();
  }

  override addHandler(
    pattern: unknown,
    handler: MessageHandler,
    isEventHandler = true,
    extras: Record<string, unknown> = {},
  ): void {
    const name = String(pattern);
    if (extras.kind !== 'consume') throw new Error(`Handle ${name} with @Consume.`);
    if (this.messageHandlers.has(name)) throw new Error(`Two handlers consume ${name}: remove one.`);
    super.addHandler(name, handler, isEventHandler, extras);
  }

  /** Starts pulling; consumers that do not exist yet are looked for until they do. */
  listen(callback: (error?: unknown) => void): void {
    try {
      this.workers = this.makeWorkers();
    } catch (error) {
      callback(error);
      return;
    }
    for (const worker of this.workers) worker.start();
    callback();
  }

  /** Pulls no more, waits for what is being handled, at most `graceMs`; what is left is delivered again to others. */
  async close(): Promise<void> {
    const { clock, logger } = this.messaging;
    const workers = this.workers;
    this.workers = [];
    const stopped = Promise.all(workers.map((worker) => worker.stop()));
    if (!(await endsWithin(stopped, this.options.graceMs ?? grace_ms_default, clock))) {
      logger.warn('messages were still being handled at the end of the grace time');
      for (const worker of workers) worker.abandon();
    }
    if (!this.messaging.isConnected()) return;
    const flushed = this.messaging
      .internals()
      .connection.flush()
      .catch((error: unknown) => {
        logger.warn({ err: error }, 'last acknowledgements may not have been sent');
      });
    await endsWithin(flushed, flush_ms_max, clock);
  }

  on(): never {
    throw new Error('This server has no events: watch Messaging.onStatus.');
  }

  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the signature is Nest's
  unwrap<T>(): T {
    return this.messaging as T;
  }

  private makeWorkers(): ConsumerWorker[] {
    const backoff = this.options.nakBackoff ?? backoff_default;
    const unused = new Set(this.messageHandlers.keys());
    const workers = this.options.consumers.map((consumer) => {
      const name = consumer.name ?? consumer.spec.durable;
      const handler = this.messageHandlers.get(name);
      if (handler === undefined)
        throw new Error(`Nothing handles ${name}: add a method with @Consume('${name}').`);
      unused.delete(name);
      return new ConsumerWorker(this.messaging, consumer, handler, backoff);
    });
    const [first] = unused;
    if (first !== undefined) throw new Error(`@Consume('${first}') has no consumer: name it in the options.`);
    return workers;
  }
}
