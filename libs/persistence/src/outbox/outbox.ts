import type { Clock } from '#libs/clock';
import { eventTypes, limits, newId, type EventData, type EventTypeName } from '#libs/contracts';
import type { Transaction } from '../transaction.js';
import { OutboxRepository, type NewOutboxRow } from './outbox.repository.js';

/** An event as a service tells it; number, source and signature are added when it is published. */
export type NewEvent = {
  [T in EventTypeName]: {
    readonly type: T;
    /** Of the entity the event is about; the entity's kind follows from the type. */
    readonly id: string;
    readonly data: EventData<T>;
    /** Who asked for what led to this. */
    readonly actor: string;
    readonly traceparent?: string | undefined;
  };
}[EventTypeName];

/** Any other durable message. The same `messageId` is published once. */
export interface NewMessage {
  readonly subject: string;
  readonly messageId: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent before all that is not. */
  readonly urgent?: boolean;
  /** When it is of no use any more: then it is dropped, as when its stream has no room. Whoever wants it writes it again. */
  readonly expiresAt: Date;
}

/** Room for headers (attributes, signature, trace) within the largest message a stream takes. */
const headers_bytes_max = 4096;

/**
 * Puts messages into the caller's transaction: they are published if it commits, events in the order of their
 * writing, and only then. Touches no network. After the commit call `OutboxRelay.wake()`, or the relay finds them by itself.
 */
export class Outbox {
  private readonly repository: OutboxRepository;

  constructor(
    schema: string,
    private readonly clock: Clock,
  ) {
    this.repository = new OutboxRepository(schema);
  }

  /** Returns the event's id. Throws when the data does not fit the catalogue: that is a defect of the caller. */
  async event(manager: Transaction, event: NewEvent): Promise<string> {
    const [id = ''] = await this.events(manager, [event]);
    return id;
  }

  /** Many at once, in their order, by one statement. */
  async events(manager: Transaction, events: readonly NewEvent[]): Promise<string[]> {
    const wall_ms = this.clock.wallMs();
    const rows = events.map((event) => eventRow(event, wall_ms));
    await this.repository.append(manager, rows);
    return rows.map((row) => row.messageId);
  }

  /** A command or another message that is to be sent as it is. */
  async command(manager: Transaction, message: NewMessage): Promise<void> {
    await this.commands(manager, [message]);
  }

  async commands(manager: Transaction, messages: readonly NewMessage[]): Promise<void> {
    const rows = messages.map(({ messageId, subject, headers = {}, body, urgent = false, expiresAt }) => {
      requireSize(body, subject);
      return { messageId, event: null, subject, headers, body, urgent, expiresAt };
    });
    await this.repository.append(manager, rows);
  }
}

function eventRow({ type, id, data, actor, traceparent }: NewEvent, wall_ms: number): NewOutboxRow {
  const body = JSON.stringify(eventTypes[type].data.parse(data));
  requireSize(body, type);
  const time = new Date(wall_ms).toISOString();
  return {
    messageId: newId(wall_ms),
    event: { type, subjectId: id, actor, time, ...(traceparent === undefined ? {} : { traceparent }) },
    subject: null,
    headers: null,
    body,
    urgent: false,
    expiresAt: null,
  };
}

/** What no stream would take must not get into the queue: nothing behind it would be published any more. */
function requireSize(body: string, what: string): void {
  const bytes = Buffer.byteLength(body);
  if (bytes > limits.message_bytes_max - headers_bytes_max) {
    throw new Error(`A message of ${bytes} bytes is too large to be published: ${what}`);
  }
}
