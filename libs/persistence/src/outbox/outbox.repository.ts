import { newId, type EventTypeName } from '#libs/contracts';
import type { DataSource, EntityManager } from 'typeorm';
import { requireIdentifier } from '../data-source.js';

/** Attributes of an event as they stand in the outbox. */
export interface StoredEvent {
  readonly type: EventTypeName;
  readonly subjectId: string;
  readonly actor: string;
  readonly time: string;
  readonly traceparent?: string;
}

export interface NewOutboxRow {
  readonly messageId: string;
  readonly event: StoredEvent | null;
  readonly subject: string | null;
  readonly headers: Readonly<Record<string, string>> | null;
  readonly body: string;
  /** Goes before all messages that are not; for messages alone. */
  readonly urgent: boolean;
  /** When it is of no use any more; null for events, which are always of use. */
  readonly expiresAt: Date | null;
}

/** An event that waits to be published, numbered. */
export interface WaitingEvent {
  /** Decimal, as Postgres gives a bigint. */
  readonly id: string;
  readonly messageId: string;
  readonly event: StoredEvent;
  /** Of the relay that numbered it, which may be an earlier one. */
  readonly incarnation: string;
  readonly sequence: number;
  /** How often it was marked to be published again. */
  readonly refills: number;
  readonly body: string;
}

/** Any other message that waits to be sent. */
export interface WaitingMessage {
  readonly id: string;
  readonly messageId: string;
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** The SQL of the outbox. */
export class OutboxRepository {
  constructor(private readonly schema: string) {
    requireIdentifier(schema);
  }

  async append(manager: EntityManager, rows: readonly NewOutboxRow[]): Promise<void> {
    if (rows.length === 0) return;
    // The identity is given in the order of the rows: an INSERT … SELECT … ORDER BY computes it after sorting.
    await manager.query(
      `INSERT INTO ${this.schema}.outbox (message_id, event, subject, headers, body, urgent, expires_at)
       SELECT message_id, event, subject, headers, body, urgent, expires_at
         FROM unnest($1::uuid[], $2::jsonb[], $3::text[], $4::jsonb[], $5::text[], $6::bool[], $7::timestamptz[])
              WITH ORDINALITY AS new (message_id, event, subject, headers, body, urgent, expires_at, position)
        ORDER BY position`,
      [
        rows.map((row) => row.messageId),
        rows.map((row) => (row.event === null ? null : JSON.stringify(row.event))),
        rows.map((row) => row.subject),
        rows.map((row) => (row.headers === null ? null : JSON.stringify(row.headers))),
        rows.map((row) => row.body),
        rows.map((row) => row.urgent),
        rows.map((row) => row.expiresAt),
      ],
    );
  }

  /** Numbers from 1 again, in a new incarnation; what is numbered already keeps its number and its incarnation. */
  async beginIncarnation(dataSource: DataSource, source: string): Promise<void> {
    await dataSource.query(
      `INSERT INTO ${this.schema}.outbox_producer (source, incarnation, sequence) VALUES ($1, $2, 0)
       ON CONFLICT (source) DO UPDATE SET incarnation = excluded.incarnation, sequence = 0`,
      [source, newId()],
    );
  }

  /** Whether an event waits: asked often, so it takes no lock. */
  async isWaiting(dataSource: DataSource): Promise<boolean> {
    const rows = await dataSource.query<unknown[]>(
      `SELECT 1 FROM ${this.schema}.outbox WHERE published_at IS NULL AND event IS NOT NULL LIMIT 1`,
    );
    return rows.length > 0;
  }

  /**
   * The next events, every one numbered: those to be published again first, each lot in order. To be called in a
   * transaction of its own. The lock on the counter comes in a statement before the numbering, so that the numbering
   * sees what another relay numbered, and in which incarnation.
   */
  async takeEvents(manager: EntityManager, source: string, rows_max: number): Promise<WaitingEvent[]> {
    await manager.query(`SELECT FROM ${this.schema}.outbox_producer WHERE source = $1 FOR UPDATE`, [source]);
    const rows = await manager.query<(Omit<WaitingEvent, 'sequence'> & { sequence: string })[]>(
      `WITH batch AS (
         SELECT * FROM ${this.schema}.outbox
          WHERE published_at IS NULL AND event IS NOT NULL ORDER BY (refills = 0), id LIMIT $2
       ), fresh AS (
         SELECT id, row_number() OVER (ORDER BY id) AS number FROM batch WHERE sequence IS NULL
       ), counter AS (
         UPDATE ${this.schema}.outbox_producer SET sequence = sequence + (SELECT count(*) FROM fresh)
          WHERE source = $1 RETURNING incarnation, sequence - (SELECT count(*) FROM fresh) AS before
       ), numbered AS (
         UPDATE ${this.schema}.outbox AS o
            SET sequence = counter.before + fresh.number, incarnation = counter.incarnation
           FROM fresh, counter WHERE o.id = fresh.id RETURNING o.id, o.incarnation, o.sequence
       )
       SELECT batch.id, message_id AS "messageId", event, body, refills,
              coalesce(batch.incarnation, numbered.incarnation) AS incarnation,
              coalesce(batch.sequence, numbered.sequence) AS sequence
         FROM batch LEFT JOIN numbered ON numbered.id = batch.id
        ORDER BY (refills = 0), batch.id`,
      [source, rows_max],
    );
    return rows.map((row) => ({ ...row, sequence: Number(row.sequence) }));
  }

  /** The next messages that are not events: the urgent ones, then the others, each in their order. */
  async takeMessages(dataSource: DataSource, rows_max: number): Promise<WaitingMessage[]> {
    return await dataSource.query<WaitingMessage[]>(
      `SELECT id, message_id AS "messageId", subject, headers, body FROM ${this.schema}.outbox
        WHERE published_at IS NULL AND event IS NULL ORDER BY urgent DESC, id LIMIT $1`,
      [rows_max],
    );
  }

  /** Whether an urgent message waits; one look into an index. */
  async hasUrgent(dataSource: DataSource): Promise<boolean> {
    const rows = await dataSource.query<unknown[]>(
      `SELECT 1 FROM ${this.schema}.outbox WHERE published_at IS NULL AND event IS NULL AND urgent LIMIT 1`,
    );
    return rows.length > 0;
  }

  /** Gives up to `rows_max` messages up whose time has passed; returns how many. @param now by whoever set their end */
  async dropExpired(dataSource: DataSource, now: Date, rows_max: number): Promise<number> {
    const [, count] = await dataSource.query<[unknown[], number]>(
      `UPDATE ${this.schema}.outbox SET published_at = now(), dropped = 'expired' WHERE id IN (
         SELECT id FROM ${this.schema}.outbox
          WHERE published_at IS NULL AND event IS NULL AND expires_at < $1 ORDER BY expires_at LIMIT $2)`,
      [now, rows_max],
    );
    return count;
  }

  /** Gives messages up. @param reason a few constant words */
  async drop(dataSource: DataSource, ids: readonly string[], reason: string): Promise<void> {
    await dataSource.query(
      `UPDATE ${this.schema}.outbox SET published_at = now(), dropped = $2
        WHERE id = ANY ($1::bigint[]) AND published_at IS NULL AND event IS NULL`,
      [ids, reason],
    );
  }

  async markPublished(dataSource: DataSource, ids: readonly string[]): Promise<void> {
    await dataSource.query(
      `UPDATE ${this.schema}.outbox SET published_at = now() WHERE id = ANY ($1::bigint[]) AND published_at IS NULL`,
      [ids],
    );
  }

  /** Rows that wait, counted up to a bound. */
  async backlog(dataSource: DataSource, rows_max: number): Promise<number> {
    const rows = await dataSource.query<{ waiting: number }[]>(
      `SELECT count(*)::integer AS waiting
         FROM (SELECT 1 FROM ${this.schema}.outbox WHERE published_at IS NULL LIMIT $1) AS w`,
      [rows_max],
    );
    return rows[0]?.waiting ?? 0;
  }

  /** Deletes up to `rows_max` messages sent or given up longer than `age_ms` ago, and no event; returns how many. */
  async prune(dataSource: DataSource, age_ms: number, rows_max: number): Promise<number> {
    const [, deleted] = await dataSource.query<[unknown[], number]>(
      `DELETE FROM ${this.schema}.outbox WHERE id IN (
         SELECT id FROM ${this.schema}.outbox
          WHERE event IS NULL AND published_at < now() - $1 * interval '1 millisecond'
          ORDER BY published_at LIMIT $2)`,
      [age_ms, rows_max],
    );
    return deleted;
  }
}
