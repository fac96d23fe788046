import type { Clock } from '#libs/clock';
import type { EventData, EventTypeName } from '#libs/contracts';
import { metricNames } from '#libs/telemetry';
import { metrics, type ObservableResult } from '@opentelemetry/api';
import type { DataSource } from 'typeorm';
import { inTransaction } from '../transaction.js';
import { OutboxRepository, type Producer, type StoredEvent, type WaitingRow } from './outbox.repository.js';

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

/** What the relay needs of the world; given from outside, so that persistence knows neither NATS nor keys. */
export interface RelayPorts {
  /** Encodes (and signs) an event. It has been checked against the catalogue when it was written. */
  readonly finish: (event: RelayEvent) => Promise<RelayMessage>;
  /** Publishes in order; one outcome a message, in the same order: durably stored, or not. */
  readonly publish: (messages: readonly RelayMessage[]) => Promise<readonly { readonly ok: boolean }[]>;
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

const backoff_ms_first = 100;
const backoff_ms_max = 5000;
const prune_every_ms = 60_000;
const prune_rows_max = 1000;
const backlog_rows_max = 1_000_000;

/**
 * Publishes what the outbox holds, in the order of its rows:
 *
 *   take and number (committed) -> encode -> publish -> mark published
 *
 * A crash anywhere publishes rows again with the same message id and sequence, which the stream and the audit table
 * take once. Run it on the leader alone; two at once stay correct and merely do the work twice.
 */
export class OutboxRelay {
  private readonly repository: OutboxRepository;
  private readonly batchRows: number;
  private loop: Promise<void> | null = null;
  private stopping = new AbortController();
  private woken = false;
  private interrupt: (() => void) | null = null;
  private published = 0;
  private failures = 0;
  private pruned_at_ms = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly dataSource: DataSource,
    private readonly ports: RelayPorts,
    private readonly options: RelayOptions,
  ) {
    this.repository = new OutboxRepository(options.schema);
    this.batchRows = options.batchRows ?? 500;
  }

  /** Begins to publish; a second call does nothing. */
  start(): void {
    if (this.loop !== null) return;
    this.stopping = new AbortController();
    this.loop = this.run(this.stopping.signal);
    this.backlogGauge().addCallback(this.observeBacklog);
  }

  /** Finishes the batch under way and stops; nothing is lost that was not published. */
  async stop(): Promise<void> {
    this.backlogGauge().removeCallback(this.observeBacklog);
    this.stopping.abort();
    this.interrupt?.();
    await this.loop;
    this.loop = null;
  }

  /** To be called after a commit that wrote to the outbox; cheap, never throws. */
  wake(): void {
    this.woken = true;
    this.interrupt?.();
  }

  status(): RelayStatus {
    return { running: this.loop !== null, published: this.published, failures: this.failures };
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

  private async run(signal: AbortSignal): Promise<void> {
    let producer: Producer | null = null;
    while (!signal.aborted) {
      this.woken = false;
      try {
        producer ??= await this.repository.producer(this.dataSource, this.options.source);
        const rows = await this.pass(producer);
        await this.prune();
        this.failures = 0;
        if (rows < this.batchRows) await this.pause(this.options.idleMs ?? 250, signal);
      } catch (error) {
        this.failures += 1;
        const { source } = this.options;
        this.options.logger.warn({ err: error, source, failures: this.failures }, 'outbox pass failed');
        await this.backOff(signal);
      }
    }
  }

  /** One batch; returns how many rows it had. Throws unless all of them were published. */
  private async pass(producer: Producer): Promise<number> {
    if (!(await this.repository.isWaiting(this.dataSource))) return 0;
    const rows = await inTransaction(
      this.dataSource,
      async (manager) => await this.repository.take(manager, producer.source, this.batchRows),
    );
    if (rows.length === 0) return 0;
    const messages = await Promise.all(rows.map(async (row) => await this.message(row, producer)));
    const outcomes = await this.ports.publish(messages);
    const stored = rows.filter((_, index) => outcomes[index]?.ok === true).map((row) => row.id);
    if (stored.length > 0) await this.repository.markPublished(this.dataSource, stored);
    this.published += stored.length;
    if (stored.length < rows.length) {
      const failed = outcomes.find((outcome) => !outcome.ok);
      throw new Error(`${rows.length - stored.length} of ${rows.length} messages were not published`, {
        cause: failed !== undefined && 'error' in failed ? failed.error : undefined,
      });
    }
    return rows.length;
  }

  private async message(row: WaitingRow, producer: Producer): Promise<RelayMessage> {
    const { event, sequence, messageId, subject, headers, body } = row;
    if (event !== null && sequence !== null) {
      const data: unknown = JSON.parse(body);
      // `Outbox.events` paired type and data by the catalogue before the row was written.
      return await this.ports.finish({ ...event, ...producer, id: messageId, sequence, data } as RelayEvent);
    }
    if (subject === null || headers === null)
      throw new Error(`Outbox row ${row.id} is neither event nor message`);
    return { messageId, subject, headers, body };
  }

  /** Waits for `ms` or the next `wake`, whatever comes first. */
  private async pause(ms: number, signal: AbortSignal): Promise<void> {
    if (this.woken || signal.aborted) return;
    const timer = new AbortController();
    const woken = new Promise<void>((resolve) => (this.interrupt = resolve));
    const slept = this.options.clock.sleep(ms, timer.signal).catch((error: unknown) => {
      if (!timer.signal.aborted) throw error;
    });
    try {
      await Promise.race([woken, slept]);
    } finally {
      this.interrupt = null;
      timer.abort();
    }
  }

  /** Not cut short by `wake`: what fails now fails again at once. */
  private async backOff(signal: AbortSignal): Promise<void> {
    const ceiling_ms = Math.min(backoff_ms_first * 2 ** Math.min(this.failures - 1, 10), backoff_ms_max);
    const pause_ms = ceiling_ms * (0.5 + Math.random() / 2);
    await this.options.clock.sleep(pause_ms, signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }

  /** Once a minute, until nothing old is left or a batch of work waits. */
  private async prune(): Promise<void> {
    const now_ms = this.options.clock.monotonicMs();
    if (now_ms - this.pruned_at_ms < prune_every_ms) return;
    const keep_ms = this.options.keepMs ?? 24 * 3_600_000;
    let deleted: number;
    do deleted = await this.repository.prune(this.dataSource, keep_ms, prune_rows_max);
    while (deleted === prune_rows_max && !this.woken && !this.stopping.signal.aborted);
    if (deleted < prune_rows_max) this.pruned_at_ms = now_ms;
  }
}
