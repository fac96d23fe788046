import { JetStreamApiError, type JetStreamManager } from '@nats-io/jetstream';
import { errors, headers as makeHeaders, type MsgHdrs, type NatsConnection } from '@nats-io/transport-node';
import { ProblemError } from '#libs/contracts';
import { Messaging, type OutgoingMessage, type PublishOutcome, type Stored } from '#libs/messaging';
import type { Logger } from '#libs/telemetry';
import type { Link, SimulatedBroker } from './simulated-network.js';
import type { SimulatedProcess } from './simulated-process.js';
import type { SimulatedStreams } from './simulated-streams.js';

/** What all processes share. */
export interface Wires {
  readonly broker: SimulatedBroker;
  readonly streams: SimulatedStreams;
}

interface RequestParameters {
  readonly timeout: number;
  readonly headers?: MsgHdrs;
}

const publish_ms_max = 3000;
const consumer_not_found = { code: 404, err_code: 10_014, description: 'consumer not found' };

/**
 * The real `Messaging` of one process, over the simulated network: requests are signed, checked, parsed and served by the
 * real code, which finds a connection that loses what it is told to lose.
 */
export class SimulatedMessaging extends Messaging {
  constructor(
    private readonly wires: Wires,
    private readonly process: SimulatedProcess,
    private readonly link: Link,
    logger: Logger,
  ) {
    super(connectionOf(wires, process, link), process, logger);
  }

  override async publishDurable(message: OutgoingMessage): Promise<Stored> {
    const [outcome] = await this.publishDurableAll([message]);
    if (outcome?.ok === true) return { seq: outcome.seq, duplicate: outcome.duplicate };
    throw outcome?.error ?? new Error('There is no outcome of a publish.');
  }

  override async publishDurableAll(messages: readonly OutgoingMessage[]): Promise<PublishOutcome[]> {
    return await Promise.all(messages.map(async (message) => await this.publish(message)));
  }

  override async manager(): Promise<JetStreamManager> {
    return managerOfAnything;
  }

  override drain(): Promise<void> {
    return Promise.resolve();
  }

  private async publish(message: OutgoingMessage): Promise<PublishOutcome> {
    const { messageId } = message;
    const stored = await new Promise<Stored | null>((resolve) => {
      const late = new AbortController();
      this.link.carry(() => {
        const outcome = this.wires.streams.store(message);
        this.link.carry(() =>
          this.process.whenRunning(() => {
            late.abort();
            resolve(outcome);
          }),
        );
      });
      this.process.sleep(publish_ms_max, late.signal).then(
        () => resolve(null),
        () => undefined,
      );
    });
    if (stored !== null) return { messageId, ok: true, ...stored };
    const error = new ProblemError('unavailable', 'Try again: the stream did not store the message.');
    return { messageId, ok: false, error, full: false };
  }
}

/** As much of a connection as `Messaging` and `RequestReplyServer` use. */
function connectionOf(wires: Wires, process: SimulatedProcess, link: Link): NatsConnection {
  const connection = {
    options: { inboxPrefix: '_INBOX' },
    isClosed: () => process.isDead,
    flush: () => Promise.resolve(),
    status: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) }),
    subscribe: (subject: string, { callback }: { callback: (error: null, message: object) => void }) => {
      const end = wires.broker.subscribe({
        ...{ subject, process, link },
        receive: ({ subject: to, body, headers, answer }) =>
          callback(null, {
            ...{ subject: to, data: body, reply: '_INBOX.simulated', headers: headersOf(headers) },
            respond: (bytes: Uint8Array | string, options?: { headers?: MsgHdrs }) =>
              answer(Buffer.from(bytes), mapOf(options?.headers)),
          }),
      });
      const drain = (): Promise<void> => {
        end();
        return Promise.resolve();
      };
      return { drain, unsubscribe: end, getSubject: () => subject };
    },
    request: (subject: string, body: Uint8Array, options: RequestParameters) =>
      ask(wires, process, link, { subject, body, options }),
  };
  return connection as unknown as NatsConnection;
}

/** The first answer counts; others, and those that come too late, find nobody. */
async function ask(
  { broker }: Wires,
  process: SimulatedProcess,
  link: Link,
  { subject, body, options }: { subject: string; body: Uint8Array; options: RequestParameters },
): Promise<object> {
  return await new Promise<object>((resolve, reject) => {
    const answered = new AbortController();
    broker.send(link, {
      ...{ subject, body, headers: mapOf(options.headers) },
      answer: (data, headers) =>
        process.whenRunning(() => {
          answered.abort();
          resolve({ subject, data, headers: headersOf(headers) });
        }),
    });
    process.sleep(options.timeout, answered.signal).then(
      () => reject(new errors.TimeoutError()),
      () => undefined,
    );
  });
}

const mapOf = (headers: MsgHdrs | undefined): ReadonlyMap<string, string> =>
  new Map((headers?.keys() ?? []).map((name) => [name, headers?.get(name) ?? '']));

function headersOf(values: ReadonlyMap<string, string>): MsgHdrs {
  const headers = makeHeaders();
  for (const [name, value] of values) headers.set(name, value);
  return headers;
}

/** Streams and consumers are there in the simulation: every one that is asked for can be made. */
const managerOfAnything = {
  streams: {
    info: () => Promise.reject(new JetStreamApiError(consumer_not_found)),
    add: () => Promise.resolve(),
  },
  consumers: {
    info: () => Promise.reject(new JetStreamApiError(consumer_not_found)),
    add: () => Promise.resolve(),
  },
} as unknown as JetStreamManager;
