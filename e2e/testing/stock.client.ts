import { jetstream } from '@nats-io/jetstream';
import { connect, headers as noHeaders, type NatsConnection } from '@nats-io/transport-node';

/** An event as it lies in the stream. */
export interface StoredEvent {
  readonly id: string;
  readonly type: string;
  readonly seq: number;
  readonly data: Record<string, unknown>;
}

export type Answer =
  | { readonly ok: true; readonly result: Record<string, unknown> }
  | { readonly ok: false; readonly problem: Record<string, unknown> & { code: string; detail: string } };

const request_ms_max = 15_000;
/** An ordered consumer that hears nothing for as long has been given everything there is. */
const silence_ms = 1000;

/** What anybody can do with the NATS client from the registry and a password: none of the project's code. */
export class StockClient {
  private constructor(readonly connection: NatsConnection) {}

  static async connect(url: string, user: string, pass: string): Promise<StockClient> {
    return new StockClient(
      await connect({ servers: url, user, pass, inboxPrefix: `_INBOX_${user}`, timeout: 5000 }),
    );
  }

  /** Sends text as it stands and reads JSON. */
  async send(subject: string, body: string | Uint8Array): Promise<Answer> {
    const message = await this.connection.request(subject, body, { timeout: request_ms_max });
    return message.json<Answer>();
  }

  /** Publishes into a stream and waits until it is stored. */
  async store(subject: string, body: string, headers: Record<string, string>): Promise<void> {
    const set = noHeaders();
    for (const [name, value] of Object.entries(headers)) set.set(name, value);
    const answer = await this.connection.request(subject, body, { timeout: request_ms_max, headers: set });
    const stored = answer.json<{ stream?: string; error?: { description: string } }>();
    if (stored.stream === undefined)
      throw new Error(`${subject}: ${stored.error?.description ?? 'not stored'}`);
  }

  /** Every event in the stream EVENTS, from its beginning to where it ends at present. */
  async storedEvents(): Promise<StoredEvent[]> {
    const js = jetstream(this.connection, { timeout: request_ms_max });
    const consumer = await js.consumers.get('EVENTS', { filter_subjects: 'fleet.v1.evt.>' });
    const { num_pending } = await consumer.info();
    const events: StoredEvent[] = [];
    while (events.length < num_pending) {
      const messages = await consumer.fetch({ max_messages: 500, expires: silence_ms });
      const before = events.length;
      for await (const message of messages) {
        events.push({
          id: message.headers?.get('ce-id') ?? '',
          type: message.headers?.get('ce-type') ?? '',
          seq: message.seq,
          data: message.json<Record<string, unknown>>(),
        });
      }
      if (events.length === before) throw new Error('The stream EVENTS stopped before its end');
    }
    return events;
  }

  async close(): Promise<void> {
    await this.connection.close();
  }
}
