import type { ConsumerMessages, JsMsg } from '@nats-io/jetstream';
import type { Subscription } from '@nats-io/transport-node';
import { ProblemError, type ConsumerSpec } from '#libs/contracts';
import { backoffMs } from '../connection.js';
import type { Messaging } from '../messaging.js';
import { endsWithin } from '../shutdown.js';

/** One pull; half of it is the interval of signs of life, and all of it the pause before a lost consumer is tried again. */
const pull_ms = 5000;
const find_ms_min = 100;
const find_ms_max = 5000;
/** How long the end of a pull waits for the server to say that nothing more comes. */
const drain_ms_max = 2000;

/**
 * Pulls the messages of a durable consumer until stopped. Looks for the consumer until somebody has made it, and again
 * when it is gone. Can be paused. What the server had sent when a pull was ended is still received: at most `prefetch`
 * messages.
 */
export class Puller {
  private messages: ConsumerMessages | null = null;
  private resume: (() => void) | null = null;
  private paused = false;
  private readonly stopped = new AbortController();

  constructor(
    private readonly messaging: Messaging,
    private readonly spec: ConsumerSpec,
    private readonly prefetch: number,
    private readonly receive: (message: JsMsg) => void,
  ) {}

  /** Until `stop`. Never rejects. */
  async run(): Promise<void> {
    for (let failures = 0; !this.stopped.signal.aborted;) {
      try {
        await this.pullUntilEnd(() => {
          failures = 0;
        });
      } catch (error) {
        const fields = { err: error, consumer: this.spec.durable, stream: this.spec.stream };
        if (failures % 20 === 0) this.messaging.logger.warn(fields, 'consumer cannot be pulled yet');
        failures++;
        await this.sleep(backoffMs(failures, find_ms_min, find_ms_max));
      }
    }
  }

  /** No more messages until `unpause`. */
  pause(): void {
    if (this.paused) return;
    this.paused = true;
    void this.end(this.messages);
  }

  unpause(): void {
    if (!this.paused) return;
    this.paused = false;
    this.resume?.();
  }

  /** Resolves when nothing more will be received. */
  async stop(): Promise<void> {
    this.stopped.abort();
    this.resume?.();
    await this.end(this.messages);
  }

  /**
   * Ends a pull. The library's own `close` drops what is on its way, and nobody else would get that before `ack_wait` is
   * over: the server is told first, and its answer comes behind the last message. Never rejects.
   */
  private async end(messages: ConsumerMessages | null): Promise<void> {
    if (messages === null) return;
    const { clock, logger } = this.messaging;
    const subscription = subscriptionOf(messages);
    if (this.messaging.isConnected() && !subscription.isClosed()) {
      const drained = subscription.drain().catch((error: unknown) => {
        logger.warn({ err: error, consumer: this.spec.durable }, 'pull ended without its last messages');
      });
      if (!(await endsWithin(drained, drain_ms_max, clock)))
        logger.warn({ consumer: this.spec.durable }, 'pull ended before the server answered');
    }
    await messages.close();
  }

  private isStopped(): boolean {
    return this.stopped.signal.aborted;
  }

  private async pullUntilEnd(onPulling: () => void): Promise<void> {
    if (this.paused)
      await new Promise<void>((resolve) => {
        this.resume = resolve;
      });
    if (this.isStopped()) return;
    if (!this.messaging.isConnected()) throw new ProblemError('unavailable', 'NATS is not connected.');
    const { js } = this.messaging.internals();
    const consumer = await js.consumers.get(this.spec.stream, this.spec.durable);
    const messages = await consumer.consume({
      max_messages: this.prefetch,
      expires: pull_ms,
      callback: (message) => {
        this.receive(message);
      },
    });
    this.messages = messages;
    // Stopped or paused while it was being looked for.
    if (this.isStopped() || this.paused) void this.end(messages);
    onPulling();
    void this.logNotices(messages);
    const ended = await messages.closed();
    this.messages = null;
    if (ended instanceof Error) throw ended;
    const { connection } = this.messaging.internals();
    if (connection.isClosed()) this.stopped.abort();
  }

  private async logNotices(messages: ConsumerMessages): Promise<void> {
    for await (const notice of messages.status()) {
      const bad =
        notice.type === 'consumer_deleted' ||
        notice.type === 'consumer_not_found' ||
        notice.type === 'stream_not_found' ||
        notice.type === 'exceeded_limits';
      const fields = { consumer: this.spec.durable, notice: notice.type };
      if (bad) this.messaging.logger.warn(fields, 'consumer in trouble');
    }
  }

  private async sleep(ms: number): Promise<void> {
    try {
      await this.messaging.clock.sleep(ms, this.stopped.signal);
    } catch {
      // Aborted by `stop`, which the loop looks at next.
    }
  }
}

/** The library offers no way to drain a pull but through its subscription, a public field of the class behind the type. */
function subscriptionOf(messages: ConsumerMessages): Subscription {
  return (messages as ConsumerMessages & { readonly sub: Subscription }).sub;
}
