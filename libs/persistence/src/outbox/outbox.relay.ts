import type { Clock } from '#libs/clock';
import type { EventData, EventTypeName } from '#libs/contracts';
import { lazyCounter, metricNames } from '#libs/telemetry';
import { metrics, type ObservableResult } from '@opentelemetry/api';
import type { DataSource } from 'typeorm';
import { inTransaction } from '../transaction.js';
import { OutboxRepository, type Producer, type StoredEvent, type WaitingEvent } from './outbox.repository.js';
import { RelayLane } from './relay.lane.js';

/** A message as the broker gets it. */
export interface RelayMessage {
  readonly subject: string;
  readonly messageId: string;
  readonly body: Uint8Array | string;
  readonly headers: Readonly<Record<string, string>>;
}

interface NumberedEvent extends Omit<StoredEvent, 'type'>, Producer {
  /** CloudEvents id and message id; the same whenever this event is published again. */
  readonly id: string;
  readonly sequence: number;
}

/** An event with everything that is needed to encode and sign it, as `encodeSignedEvent` of messaging takes it. */
export type RelayEvent = {
  [T in EventTypeName]: NumberedEvent & { readonly type: T; readonly data: EventData<T> };
}[EventTypeName];

/** Durably stored; or not now; or refused in a way that trying again does not mend. */
export type SendOutcome = { readonly ok: true } | { readonly ok: false; readonly refused: string | null };

/** What the relay needs of the world; given from outside, so that persistence knows neither NATS nor keys. */
export interface RelayPorts {
  /** Encodes (and signs) an event. It has been checked against the catalogue when it was written. */
  readonly finish: (event: RelayEvent) => Promise<RelayMessage>;
  /** Publishes in order, nothing after a failure; one outcome a message, in the same order: durably stored, or not. */
  readonly publish: (messages: readonly RelayMessage[]) => Promise<readonly { readonly ok: boolean }[]>;
  /**
   * Sends messages that are not events, each for itself; one outcome a message, in the same order. A service whose
   * outbox holds events alone leaves it out.
   */
  readonly send?: (messages: readonly RelayMessage[]) => Promise<readonly SendOutcome[]>;
  /**
   * Has the listener called whenever the broker can be reached again, so that what waits does not wait for the end of
   * a back-off; gives a function that ends it.
   */
  readonly onReachable?: (listener: () => void) => () => void;
}

export interface RelayLogger {
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface RelayOptions {
  readonly schema: string;
  /** CloudEvents source of this service's events: `/scheduler`. */
  readonly source: string;
  readonly clock: Clock;
  readonly logger: RelayLogger;
  /** Rows taken at once; bounds the relay's memory. Default 500. */
  readonly batchRows?: number;
  /** How often it looks when nobody wakes it. Default 250 ms. */
  readonly idleMs?: number;
  /** Age at which published rows are deleted. Default 24 h. */
  readonly keepMs?: number;
}

export interface RelayStatus {
  readonly running: boolean;
  readonly published: number;
  /** Failed passes since the last good one. */
  readonly failures: number;
}

const idle_ms_default = 250;
const prune_every_ms = 60_000;
const prune_rows_max = 1000;
const backlog_rows_max = 1_000_000;

const dropped = lazyCounter(metricNames.outbox_dropped, 'Outbox messages given up, by reason');

/**
 * Publishes what the outbox holds, in two lanes that do not wait for each other:
 *
 *   events     in the order of their rows: take and number (committed) -> encode -> publish -> mark published
 *   messages   urgent ones first, then in order: drop what has expired -> send each -> mark sent or given up
 *
 * Events are never given up, and a number once given stays. A message has an end: past it, or when its stream has no
 * room for it, it is dropped, because whoever wrote it writes it again while it is wanted (a command for a host that
 * takes nothing must not keep other hosts from theirs). Failed passes are repeated ever more slowly, up to 5 s apart; at
 * once when the broker is reachable again, and within 250 ms while an urgent message waits. A crash anywhere publishes rows again with the same message
 * id and sequence, which the stream and the audit table take once. Run it on the leader alone; two at once stay
 * correct and merely do the work twice.
 */
export class OutboxRelay {
  private readonly repository: OutboxRepository;
  private readonly batchRows: number;
  private readonly events: RelayLane;
  private readonly messages: RelayLane | null;
  private producer: Producer | null = null;
  private mayPublish: () => boolean = () => true;
  private stopListening: () => void = () => undefined;
  private published = 0;
  private pruned_at_ms = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly dataSource: DataSource,
    private readonly ports: RelayPorts,
    private readonly options: RelayOptions,
  ) {
    const { schema, source, clock, logger, idleMs = idle_ms_default } = options;
    const { send } = ports;
    this.repository = new OutboxRepository(schema);
    this.batchRows = options.batchRows ?? 500;
    const lane = { source, clock, logger, idleMs };
    this.events = new RelayLane(async () => await this.passEvents(), { ...lane, name: 'events' });
    this.messages =
      send === undefined
        ? null
        : new RelayLane(async () => await this.passMessages(send), {
            ...lane,
            name: 'messages',
            isUrgent: async () => await this.repository.hasUrgent(this.dataSource),
          });
  }

  /**
   * Begins to publish; a second call does nothing.
   * @param mayPublish asked right before a batch leaves: a process that was stopped meanwhile may have a successor
   */
  start(mayPublish: () => boolean = () => true): void {
    if (this.events.running) return;
    this.mayPublish = mayPublish;
    this.events.start();
    this.messages?.start();
    this.stopListening = this.ports.onReachable?.(() => this.retry()) ?? this.stopListening;
    this.backlogGauge().addCallback(this.observeBacklog);
  }

  /** Finishes the batches under way and stops; nothing is lost that was not published. */
  async stop(): Promise<void> {
    this.stopListening();
    this.stopListening = () => undefined;
    this.backlogGauge().removeCallback(this.observeBacklog);
    await Promise.all([this.events.stop(), this.messages?.stop()]);
  }

  /** To be called after a commit that wrote to the outbox; cheap, never throws. */
  wake(): void {
    this.events.wake();
    this.messages?.wake();
  }

  private retry(): void {
    this.events.retry();
    this.messages?.retry();
  }

  status(): RelayStatus {
    return {
      running: this.events.running,
      published: this.published,
      failures: Math.max(this.events.failures, this.messages?.failures ?? 0),
    };
  }

  /** Rows that wait to be published. */
  async backlog(): Promise<number> {
    return await this.repository.backlog(this.dataSource, backlog_rows_max);
  }

  /** Nothing but a stub unless telemetry is on; the same instrument each time it is asked for. */
  private backlogGauge() {
    return metrics
      .getMeter('tradefleet')
      .createObservableGauge(metricNames.outbox_backlog, { description: 'Outbox rows not yet published' });
  }

  private readonly observeBacklog = async (result: ObservableResult): Promise<void> => {
    result.observe(await this.backlog(), { source: this.options.source });
  };

  /** One batch of events. Throws unless all of them were published. */
  private async passEvents(): Promise<boolean> {
    this.producer ??= await this.repository.producer(this.dataSource, this.options.source);
    const { producer } = this;
    const rows = (await this.repository.isWaiting(this.dataSource))
      ? await inTransaction(
          this.dataSource,
          async (manager) => await this.repository.takeEvents(manager, producer.source, this.batchRows),
        )
      : [];
    if (rows.length > 0) {
      const encoded = await Promise.all(rows.map(async (row) => await this.finish(row, producer)));
      this.requireRight();
      const outcomes = await this.ports.publish(encoded);
      const stored = rows.filter((_, index) => outcomes[index]?.ok === true).map((row) => row.id);
      await this.markPublished(stored);
      if (stored.length < rows.length) {
        const failed = outcomes.find((outcome) => !outcome.ok);
        throw new Error(`${rows.length - stored.length} of ${rows.length} events were not published`, {
          cause: failed !== undefined && 'error' in failed ? failed.error : undefined,
        });
      }
    }
    await this.prune();
    return rows.length === this.batchRows;
  }

  /** One batch of messages. Throws when some have neither gone out nor been given up. */
  private async passMessages(send: NonNullable<RelayPorts['send']>): Promise<boolean> {
    const expired = await this.repository.dropExpired(
      this.dataSource,
      new Date(this.options.clock.wallMs()),
      this.batchRows,
    );
    this.tellDropped('expired', expired);
    const rows = await this.repository.takeMessages(this.dataSource, this.batchRows);
    if (rows.length === 0) return expired === this.batchRows;
    this.requireRight();
    const outcomes = await send(rows);
    const refused = new Map<string, string[]>();
    const stored: string[] = [];
    for (const [index, { id }] of rows.entries()) {
      const outcome = outcomes[index];
      if (outcome?.ok === true) stored.push(id);
      else if (outcome !== undefined && outcome.refused !== null)
        refused.set(outcome.refused, [...(refused.get(outcome.refused) ?? []), id]);
    }
    await this.markPublished(stored);
    for (const [why, ids] of refused) {
      await this.repository.drop(this.dataSource, ids, why);
      this.tellDropped(why, ids.length);
    }
    const settled = stored.length + [...refused.values()].reduce((sum, ids) => sum + ids.length, 0);
    if (settled < rows.length)
      throw new Error(`${rows.length - settled} of ${rows.length} messages were not sent`);
    return rows.length === this.batchRows;
  }

  private requireRight(): void {
    if (!this.mayPublish()) throw new Error('Another process publishes from this outbox now.');
  }

  private tellDropped(reason: string, count: number): void {
    if (count === 0) return;
    const { source } = this.options;
    dropped.add(count, { source, reason });
    this.options.logger.warn({ source, reason, count }, 'messages of the outbox were given up');
  }

  private async markPublished(ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.repository.markPublished(this.dataSource, ids);
    this.published += ids.length;
  }

  private async finish(row: WaitingEvent, producer: Producer): Promise<RelayMessage> {
    const { event, sequence, messageId: id, body } = row;
    const data: unknown = JSON.parse(body);
    // `Outbox.events` paired type and data by the catalogue before the row was written.
    return await this.ports.finish({ ...event, ...producer, id, sequence, data } as RelayEvent);
  }

  /** Once a minute, until nothing old is left or a batch of work waits. */
  private async prune(): Promise<void> {
    const now_ms = this.options.clock.monotonicMs();
    if (now_ms - this.pruned_at_ms < prune_every_ms) return;
    const keep_ms = this.options.keepMs ?? 24 * 3_600_000;
    let deleted: number;
    do deleted = await this.repository.prune(this.dataSource, keep_ms, prune_rows_max);
    while (deleted === prune_rows_max && !this.events.isWanted);
    if (deleted < prune_rows_max) this.pruned_at_ms = now_ms;
  }
}
