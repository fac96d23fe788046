import type { Clock } from '#libs/clock';
import { newId, type PublicJwk } from '#libs/contracts';
import { eventRelayPorts, type Messaging, type SigningKey } from '#libs/messaging';
import {
  createDataSource,
  type NewEvent,
  Outbox,
  outboxMigrations,
  OutboxRelay,
  type RelayEvent,
  runMigrations,
} from '#libs/persistence';
import type { Logger } from '#libs/telemetry';
import type { DataSource } from 'typeorm';
import { ZodError } from 'zod';
import { type EventProducer, type NumberedEvent, type ProducerState, StorageAway } from './event.producer.js';

type Service = 'scheduler' | 'secrets';

export interface OutboxProducerParts {
  readonly service: Service;
  readonly databaseUrl: string;
  /** As the service's user. */
  readonly messaging: Messaging;
  readonly signingKey: SigningKey;
  /** The audit service's. */
  readonly auditKeys: readonly PublicJwk[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * A service that keeps its events in an outbox: the very outbox, relay and confirmation that the services have, on a
 * schema of its own. Each event is entered in a journal by the transaction that writes it, so that the two are never
 * apart, even where no answer to the commit came.
 */
export class OutboxProducer implements EventProducer {
  private readonly relay: OutboxRelay;
  private readonly outbox: Outbox;
  private readonly numbers = new Map<string, NumberedEvent>();
  private refilled = 0;
  private written = 0;
  /** A commit may have happened of which nothing was heard. */
  private isUncertain = false;

  private constructor(
    readonly source: string,
    private readonly schema: string,
    private readonly dataSource: DataSource,
    private readonly parts: OutboxProducerParts,
  ) {
    const { clock, logger } = parts;
    this.outbox = new Outbox(schema, clock);
    this.relay = new OutboxRelay(dataSource, this.ports(), { schema, source, clock, logger });
  }

  static async start(parts: OutboxProducerParts): Promise<OutboxProducer> {
    const schema = `chaos_${parts.service}`;
    const options = { url: parts.databaseUrl, schema, poolMax: 4, applicationName: schema };
    await runMigrations({ ...options, migrations: outboxMigrations(schema) });
    const dataSource = await createDataSource(options).initialize();
    await dataSource.query(`CREATE TABLE ${schema}.journal (id uuid PRIMARY KEY)`);
    const producer = new OutboxProducer(`/${parts.service}`, schema, dataSource, parts);
    producer.relay.start();
    return producer;
  }

  async write(count: number): Promise<number> {
    return await this.append(Array.from({ length: count }, () => anEvent(this.parts.service)));
  }

  /** That a host has this key from now on. */
  async register(host: string, incarnation: string, { kty, crv, x }: PublicJwk): Promise<number> {
    const data = { host, incarnation, reason: null, signingKey: { kty, crv, x } };
    return await this.append([{ type: 'tradefleet.host.registered', id: host, data, actor: `host:${host}` }]);
  }

  async state(): Promise<ProducerState> {
    const [waiting, unconfirmed] = await reachable(
      async () => await Promise.all([this.relay.backlog(), this.relay.unconfirmed()]),
    );
    return { written: this.written, kept: waiting + unconfirmed, refilled: this.refilled };
  }

  async journal(): Promise<NumberedEvent[]> {
    const rows = await this.dataSource.query<{ id: string }[]>(`SELECT id FROM ${this.schema}.journal`);
    return rows.map(({ id }) => this.numbers.get(id) ?? { id, incarnation: 'never published', sequence: 0 });
  }

  async stop(): Promise<void> {
    await this.relay.stop();
    await this.dataSource.destroy();
    await this.parts.messaging.drain();
  }

  private async append(events: readonly NewEvent[]): Promise<number> {
    const before = this.written;
    await reachable(async () => {
      if (this.isUncertain) this.written = await this.countJournal();
      this.isUncertain = true;
      await this.dataSource.transaction(async (manager) => {
        const ids = await this.outbox.events(manager, events);
        await manager.query(`INSERT INTO ${this.schema}.journal SELECT unnest($1::uuid[])`, [ids]);
      });
      this.isUncertain = false;
    });
    this.written += events.length;
    this.relay.wake();
    return this.written - before;
  }

  private async countJournal(): Promise<number> {
    const [row] = await this.dataSource.query<{ n: number }[]>(
      `SELECT count(*)::integer AS n FROM ${this.schema}.journal`,
    );
    return row?.n ?? 0;
  }

  private ports(): ConstructorParameters<typeof OutboxRelay>[1] {
    const { messaging, signingKey, auditKeys: asks, clock, logger } = this.parts;
    const ports = eventRelayPorts({ messaging, signingKey, source: this.source, clock, logger, asks });
    return {
      ...ports,
      finish: async (events) => {
        for (const event of events) this.remember(event);
        return await ports.finish(events);
      },
      confirmation: (kept) =>
        ports.confirmation({
          ...kept,
          again: async (incarnation, ranges) => {
            const there = await kept.again(incarnation, ranges);
            this.refilled += there.length;
            return there;
          },
        }),
    };
  }

  /** Throws when an event that has a number is given another one: that would be a loss that no gap shows. */
  private remember({ id, incarnation, sequence }: RelayEvent): void {
    const before = this.numbers.get(id);
    if (before === undefined) this.numbers.set(id, { id, incarnation, sequence });
    else if (before.incarnation !== incarnation || before.sequence !== sequence)
      throw new Error(`${id} was number ${before.sequence} and is now ${sequence}.`);
  }
}

/** Postgres is killed at any point of it: each error but that of an event that is none may pass. */
async function reachable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ZodError) throw error;
    throw new StorageAway('Postgres cannot be reached.', { cause: error });
  }
}

function anEvent(service: Service): NewEvent {
  const id = newId();
  if (service === 'scheduler')
    return {
      ...{ type: 'tradefleet.operation.accepted', id, actor: 'user:ada' },
      data: { operation: id, kind: 'bots.start', state: 'running', total: 1, failed: 0 },
    };
  const about = { allocation: newId(), account: 'account-1', host: 'host-a', epoch: 1, code: null };
  return {
    ...{ type: 'tradefleet.grant.issued', id, actor: 'service:secrets' },
    data: { grant: id, expiresAt: null, ...about },
  };
}
