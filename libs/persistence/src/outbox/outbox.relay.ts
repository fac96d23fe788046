import { lazyCounter, metricNames } from '#libs/telemetry';
import { metrics, type ObservableResult } from '@opentelemetry/api';
import type { DataSource } from 'typeorm';
import { inTransaction } from '../transaction.js';
import { KeptEventsRepository } from './kept-events.repository.js';
import { OutboxRepository, type WaitingEvent } from './outbox.repository.js';
import { RelayLane } from './relay.lane.js';
import type {
  KeptOutboxEvents,
  RelayConfirmation,
  RelayEvent,
  RelayMessage,
  RelayOptions,
  RelayPorts,
  RelayStatus,
} from './relay.ports.js';

const idle_ms_default = 250;
const prune_every_ms = 60_000;
const prune_rows_max = 1000;
const counted_rows_max = 1_000_000;

const dropped = lazyCounter(metricNames.outbox_dropped, 'Outbox messages given up, by reason');

/**
 * Publishes what the outbox holds, in two lanes that do not wait for each other:
 *
 *   events     in the order of their rows: take and number (committed) -> encode -> publish -> mark published
 *   messages   urgent ones first, then in order: drop what has expired -> send each -> mark sent or given up
 *
 * Events are never given up, and a number once given stays. A relay numbers in an incarnation of its own, begun with its
 * first pass. A published event is kept until it is confirmed to be recorded; one that did not reach the audit log is
 * published again, before all others. A message has an end: past it, or when its stream has no room for it, it is
 * dropped, because whoever wrote it writes it again while it is wanted (a command for a host that takes nothing must not
 * keep other hosts from theirs). Failed passes are repeated ever more slowly, up to 5 s apart; at once when the broker is
 * reachable again, and within 250 ms while an urgent message waits. A crash anywhere publishes rows again with the same
 * message id and sequence, which the stream and the audit table take once. Run it on the leader alone; two at once stay
 * correct and merely do the work twice.
 */
export class OutboxRelay {
  private readonly repository: OutboxRepository;
  private readonly batchRows: number;
  private readonly events: RelayLane;
  private readonly messages: RelayLane | null;
  private readonly kept: KeptEventsRepository;
  private readonly confirmation: RelayConfirmation | null;
  private hasBegun = false;
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
    this.kept = new KeptEventsRepository(schema);
    this.confirmation = ports.confirmation?.(this.keptEvents()) ?? null;
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
    this.hasBegun = false;
    this.events.start();
    this.messages?.start();
    this.confirmation?.start();
    this.stopListening = this.ports.onReachable?.(() => this.retry()) ?? this.stopListening;
    this.gauge(metricNames.outbox_backlog, 'Outbox rows not yet published').addCallback(this.observeBacklog);
    this.gauge(metricNames.events_unconfirmed, 'Events kept until recorded').addCallback(this.observeKept);
  }

  /** Finishes the batches under way and stops; nothing is lost that was not published. */
  async stop(): Promise<void> {
    this.stopListening();
    this.stopListening = () => undefined;
    this.gauge(metricNames.outbox_backlog, 'Outbox rows not yet published').removeCallback(
      this.observeBacklog,
    );
    this.gauge(metricNames.events_unconfirmed, 'Events kept until recorded').removeCallback(this.observeKept);
    await Promise.all([this.events.stop(), this.messages?.stop(), this.confirmation?.stop()]);
  }

  /** To be called after a commit that wrote to the outbox; cheap, never throws. */
  wake(): void {
    this.events.wake();
    this.messages?.wake();
  }

  private retry(): void {
    this.events.retry();
    this.messages?.retry();
    this.confirmation?.wake();
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
    return await this.repository.backlog(this.dataSource, counted_rows_max);
  }

  /** Events that were published and are not yet confirmed to be recorded. */
  async unconfirmed(): Promise<number> {
    return await this.kept.count(this.dataSource, counted_rows_max);
  }

  /** Whoever publishes no more confirms nothing more. */
  private keptEvents(): KeptOutboxEvents {
    const { kept, dataSource } = this;
    return {
      incarnations: async () => (this.mayPublish() ? await kept.incarnations(dataSource) : []),
      confirm: async (incarnation, upTo) => await kept.confirm(dataSource, incarnation, upTo),
      again: async (incarnation, ranges) => {
        const there = await kept.again(dataSource, incarnation, ranges);
        this.events.wake();
        return there;
      },
    };
  }

  /** Nothing but a stub unless telemetry is on; the same instrument each time it is asked for. */
  private gauge(name: string, description: string) {
    return metrics.getMeter('tradefleet').createObservableGauge(name, { description });
  }

  private readonly observeBacklog = async (result: ObservableResult): Promise<void> => {
    result.observe(await this.backlog(), { source: this.options.source });
  };

  private readonly observeKept = async (result: ObservableResult): Promise<void> => {
    result.observe(await this.unconfirmed(), { source: this.options.source });
  };

  /** One batch of events. Throws unless all of them were published. */
  private async passEvents(): Promise<boolean> {
    const { source } = this.options;
    if (!this.hasBegun) {
      await this.repository.beginIncarnation(this.dataSource, source);
      this.hasBegun = true;
    }
    const rows = (await this.repository.isWaiting(this.dataSource))
      ? await inTransaction(
          this.dataSource,
          async (manager) => await this.repository.takeEvents(manager, source, this.batchRows),
        )
      : [];
    if (rows.length > 0) {
      const encoded = await this.finish(rows);
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

  private async finish(rows: readonly WaitingEvent[]): Promise<RelayMessage[]> {
    const { source } = this.options;
    const events = rows.map(({ event, sequence, incarnation, messageId: id, body }) => {
      const data: unknown = JSON.parse(body);
      // `Outbox.events` paired type and data by the catalogue before the row was written.
      return { ...event, source, incarnation, id, sequence, data } as RelayEvent;
    });
    const messages = await this.ports.finish(events);
    if (messages.length !== rows.length) throw new Error('Not every event became a message.');
    // Within its window a stream stores a message id once, also one of what it has lost since.
    return messages.map((message, index) => {
      const refills = rows[index]?.refills ?? 0;
      return refills === 0 ? message : { ...message, messageId: `${message.messageId}.${refills}` };
    });
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
