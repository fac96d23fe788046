import { jetstream, jetstreamManager, type JetStreamClient, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { SystemClock, type Clock } from '#libs/clock';
import { apiSubject, type ApiName, type ApiRequest, type ApiResponse } from '#libs/contracts';
import { lazyCounter, metricNames, type Logger } from '#libs/telemetry';
import { openConnection, type ConnectOptions } from './connection.js';
import {
  DurablePublisher,
  type OutgoingMessage,
  type PublishAllOptions,
  type PublishOutcome,
  type Stored,
} from './durable-publisher.js';
import {
  request,
  requestRaw,
  type RawReply,
  type RawRequestOptions,
  type RequestOptions,
} from './request.js';
import { startTail, type StopTail, type TailHandler, type TailOptions } from './tail.js';

export type ConnectionState = 'connected' | 'disconnected' | 'closed';

const js_timeout_ms = 5000;
const drain_ms_max = 10_000;
const disconnects = lazyCounter(metricNames.disconnects, 'Lost connections to NATS');

/** Connects to NATS; see `ConnectOptions` for what is waited for. Close it with `drain()`. */
export async function connectMessaging(options: ConnectOptions): Promise<Messaging> {
  const clock = options.clock ?? new SystemClock();
  return new Messaging(await openConnection(options, clock), clock, options.logger);
}

/** The one client of NATS in a process: requests, durable publishes, live tails. */
export class Messaging {
  private state: ConnectionState = 'connected';
  private readonly listeners = new Set<(state: ConnectionState) => void>();
  private readonly js: JetStreamClient;
  private readonly publisher: DurablePublisher;

  constructor(
    private readonly connection: NatsConnection,
    readonly clock: Clock,
    readonly logger: Logger,
  ) {
    this.js = jetstream(connection, { timeout: js_timeout_ms });
    this.publisher = new DurablePublisher(this.js, clock, () => this.isConnected());
    void this.watch();
  }

  /**
   * Sends a body as JSON and gives the result of the answer, under the actor and trace of `requestContext`.
   * Throws the answer's `ProblemError`; `timeout` when none comes in time (the work may have been done);
   * `unavailable` when nobody serves the subject or NATS is away (nothing was done); `bad_signature`, see `verify`.
   */
  async request<T>(subject: string, body: unknown, options: RequestOptions = {}): Promise<T> {
    return request<T>(this.connection, this.isConnected(), subject, body, options);
  }

  /** As `request`, by the name of an operation of the public API. */
  async call<N extends ApiName>(
    name: N,
    body: ApiRequest<N>,
    options: RequestOptions = {},
  ): Promise<ApiResponse<N>> {
    return this.request<ApiResponse<N>>(apiSubject(name), body, options);
  }

  /** As `request`, bytes as they are, the answer not looked into. */
  async requestRaw(subject: string, bytes: Uint8Array, options: RawRequestOptions = {}): Promise<RawReply> {
    return requestRaw(this.connection, this.isConnected(), subject, bytes, options);
  }

  /**
   * Stores a message in the stream that covers its subject and waits until the server says so. Tries again under the
   * same message id, which is stored once within the stream's window. Throws `unavailable`, `payload_too_large` or
   * `forbidden`.
   */
  async publishDurable(message: OutgoingMessage, options: { timeoutMs?: number } = {}): Promise<Stored> {
    return this.publisher.publish(message, options.timeoutMs);
  }

  /**
   * Stores messages in order with at most `window` of them under way. After the first failure nothing more is sent,
   * unless told to `continue`; what was not sent fails with `unavailable`. Outcomes stand in the order of the
   * messages. Never throws.
   */
  async publishDurableAll(
    messages: readonly OutgoingMessage[],
    { window = 256, onFailure = 'stop' }: Partial<PublishAllOptions> = {},
  ): Promise<PublishOutcome[]> {
    return this.publisher.publishAll(messages, { window, onFailure });
  }

  /**
   * Calls back for each message of a stream as it comes, in order, starting where told; goes on after a reconnect
   * without gap or repetition. Acknowledges nothing. Returns a function that ends it.
   */
  async tail(filterSubject: string, handler: TailHandler, options: TailOptions = {}): Promise<StopTail> {
    return startTail(this.js, this.logger, filterSubject, handler, options);
  }

  isConnected(): boolean {
    return this.state === 'connected' && !this.connection.isClosed();
  }

  /** Calls back at each change; returns a function that ends it. */
  onStatus(listener: (state: ConnectionState) => void): () => void {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  }

  /** Calls back whenever the connection is there again; returns a function that ends it. */
  onConnected(listener: () => void): () => void {
    return this.onStatus((state) => {
      if (state === 'connected') listener();
    });
  }

  /** Sends what is left, then closes for good. Bounded: after 10 s it closes anyway. */
  async drain(): Promise<void> {
    if (this.connection.isClosed()) return;
    const abort = new AbortController();
    const late = this.clock.sleep(drain_ms_max, abort.signal).then(
      () => 'late' as const,
      () => 'late' as const,
    );
    const drained = this.isConnected()
      ? this.connection.drain().catch((error: unknown) => {
          this.logger.warn({ err: error }, 'NATS connection did not drain');
        })
      : Promise.resolve('late' as const);
    if ((await Promise.race([drained, late])) === 'late') await this.connection.close();
    abort.abort();
  }

  /** For the other files of this library: nothing else may hold NATS's own objects. */
  internals(): { connection: NatsConnection; js: JetStreamClient } {
    return { connection: this.connection, js: this.js };
  }

  /** For provisioning. No account information is asked for, which few users may read. */
  async manager(): Promise<JetStreamManager> {
    return jetstreamManager(this.connection, { checkAPI: false, timeout: js_timeout_ms });
  }

  private async watch(): Promise<void> {
    for await (const status of this.connection.status()) {
      if (status.type === 'disconnect') {
        disconnects.add(1);
        this.become('disconnected', status.server);
      } else if (status.type === 'reconnect') this.become('connected', status.server);
      else if (status.type === 'error') this.logger.error({ err: status.error }, 'NATS reports an error');
      else if (status.type === 'slowConsumer')
        this.logger.warn(
          { subject: status.sub.getSubject(), pending: status.pending },
          'slow NATS subscription',
        );
    }
    this.become('closed');
  }

  private become(state: ConnectionState, server?: string): void {
    if (this.state === state) return;
    this.state = state;
    this.logger.info({ state, ...(server === undefined ? {} : { server }) }, 'NATS connection changed');
    for (const listener of this.listeners) listener(state);
  }
}
