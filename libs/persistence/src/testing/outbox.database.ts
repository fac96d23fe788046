import { SystemClock } from '#libs/clock';
import { newId } from '#libs/contracts';
import { uniqueName, waitFor, type TestPostgres } from '#libs/testing';
import type { DataSource } from 'typeorm';
import { createDataSource } from '../data-source.js';
import { runMigrations } from '../migrations.js';
import { outboxMigrations } from '../outbox/outbox.migration.js';
import { OutboxRelay } from '../outbox/outbox.relay.js';
import type {
  KeptOutboxEvents,
  RelayConfirmation,
  RelayMessage,
  RelayOptions,
  RelayPorts,
} from '../outbox/relay.ports.js';
import { Outbox, type NewEvent, type NewMessage } from '../outbox/outbox.js';

const schema = 'spec';

/** An outbox in a database of its own, for specs. */
export class OutboxDatabase {
  readonly outbox = new Outbox(schema, new SystemClock());
  private readonly relays: OutboxRelay[] = [];

  private constructor(readonly dataSource: DataSource) {}

  static async create(postgres: TestPostgres): Promise<OutboxDatabase> {
    return await OutboxDatabase.at(await postgres.createDatabase());
  }

  static async at(url: string): Promise<OutboxDatabase> {
    const options = { url, schema, migrations: [...outboxMigrations(schema)], applicationName: 'spec' };
    await runMigrations(options);
    return new OutboxDatabase(await createDataSource(options).initialize());
  }

  /** Appends and commits. */
  async append(count: number): Promise<string[]> {
    return await this.dataSource.transaction(
      async (manager) =>
        await this.outbox.events(
          manager,
          Array.from({ length: count }, () => anEvent()),
        ),
    );
  }

  /** Appends messages that are not events, and commits. */
  async appendMessages(messages: readonly NewMessage[]): Promise<void> {
    await this.dataSource.transaction(async (manager) => await this.outbox.commands(manager, messages));
  }

  relay(
    publish: RelayPorts['publish'],
    options: Partial<RelayOptions> &
      Partial<Pick<RelayPorts, 'finish' | 'send' | 'onReachable' | 'confirmation'>> = {},
  ): OutboxRelay {
    const { finish = encodePlainly, send, onReachable, confirmation, ...others } = options;
    const logger = { warn: () => undefined, error: () => undefined };
    const relay = new OutboxRelay(
      this.dataSource,
      {
        finish,
        publish,
        ...(send === undefined ? {} : { send }),
        ...(onReachable === undefined ? {} : { onReachable }),
        ...(confirmation === undefined ? {} : { confirmation }),
      },
      { schema, source: '/scheduler', clock: new SystemClock(), logger, idleMs: 10, ...others },
    );
    this.relays.push(relay);
    return relay;
  }

  async query<T>(sql: string): Promise<T[]> {
    return await this.dataSource.query<T[]>(sql);
  }

  async untilEmpty(): Promise<void> {
    await waitFor(async () => (await this.relays[0]?.backlog()) === 0, {
      what: 'the outbox to empty',
      timeoutMs: 30_000,
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.relays.map(async (relay) => await relay.stop()));
    await this.dataSource.destroy();
  }
}

/** Encodes as plainly as a spec needs: number and incarnation in the headers. */
export const encodePlainly: RelayPorts['finish'] = async (events) =>
  events.map(({ type, subjectId, id, sequence, incarnation, data, time }) => ({
    subject: `spec.${type}.${subjectId}`,
    messageId: id,
    body: JSON.stringify(data),
    headers: { sequence: String(sequence), incarnation, time },
  }));

export function anEvent(): NewEvent {
  const operation = newId();
  return {
    type: 'tradefleet.operation.accepted',
    id: operation,
    data: { operation, kind: 'bots.start', state: 'running', total: 1, failed: 0 },
    actor: `user:${uniqueName('spec')}`,
  };
}

/** Confirms what a spec tells it to, when it tells it to. */
export class ManualConfirmation implements RelayConfirmation {
  running = false;
  private events: KeptOutboxEvents | null = null;

  readonly of = (kept: KeptOutboxEvents): RelayConfirmation => {
    this.events = kept;
    return this;
  };

  get kept(): KeptOutboxEvents {
    if (this.events === null) throw new Error('No relay has been made with this confirmation.');
    return this.events;
  }

  start(): void {
    this.running = true;
  }

  async stop(): Promise<void> {
    this.running = false;
  }

  wake(): void {}
}

/** Keeps what it is given, each message id once, as a JetStream stream does; `deliveries` counts them all. */
export class MemoryStream {
  readonly stored: RelayMessage[] = [];
  readonly numberOf = new Map<string, string>();
  deliveries = 0;
  largest = 0;

  readonly publish: RelayPorts['publish'] = async (messages) => {
    this.largest = Math.max(this.largest, messages.length);
    return messages.map((message) => this.store(message));
  };

  store(message: RelayMessage): { ok: true } {
    this.deliveries += 1;
    const number = message.headers['sequence'] ?? 'none';
    const before = this.numberOf.get(message.messageId);
    if (before !== undefined && before !== number) {
      throw new Error(`${message.messageId} was number ${before} and is now ${number}`);
    }
    if (before === undefined) {
      this.stored.push(message);
      this.numberOf.set(message.messageId, number);
    }
    return { ok: true };
  }

  sequences(): number[] {
    return this.stored.map((message) => Number(message.headers['sequence']));
  }

  /** The numbers of each incarnation, in ascending order. */
  byIncarnation(): number[][] {
    const all = new Map<string, number[]>();
    for (const { headers } of this.stored) {
      const { incarnation = 'none', sequence } = headers;
      all.set(incarnation, [...(all.get(incarnation) ?? []), Number(sequence)]);
    }
    return [...all.values()].map((numbers) => numbers.toSorted((a, b) => a - b));
  }
}
