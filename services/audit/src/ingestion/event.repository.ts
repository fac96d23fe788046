import { Injectable } from '@nestjs/common';
import { DataSource, QueryFailedError, type EntityManager } from 'typeorm';
import { requireWriterOnly } from '../database/prepare-database.js';
import type { QuarantinedMessage, RecordedEvent } from './recorded-event.js';

/** How many rows were new; the others had been recorded before. */
export interface Recorded {
  readonly events: number;
  readonly quarantined: number;
}

/** Adds to the log; knows no other way to change it. */
@Injectable()
export class EventRepository {
  constructor(private readonly dataSource: DataSource) {}

  /** All of it or nothing, one statement for each table. What is there already is left alone. */
  async add(events: readonly RecordedEvent[], quarantined: readonly QuarantinedMessage[]): Promise<Recorded> {
    return await this.dataSource.transaction(async (manager) => ({
      events: events.length === 0 ? 0 : await addEvents(manager, events),
      quarantined: quarantined.length === 0 ? 0 : await addQuarantined(manager, quarantined),
    }));
  }

  /** Throws `UnsafeRole` when the role it works under could do more than add and read. */
  async requireWriterOnly(): Promise<void> {
    await requireWriterOnly(this.dataSource);
  }

  async ping(): Promise<void> {
    await this.dataSource.query('SELECT 1');
  }
}

/**
 * Whether the rows are to blame and not the database: SQLSTATE classes 22 (data exception) and 23 (integrity
 * constraint violation). Repeating does not help then.
 */
export function isFaultOfTheData(error: unknown): boolean {
  if (!(error instanceof QueryFailedError)) return false;
  const { code } = error.driverError as { code?: unknown };
  return typeof code === 'string' && /^2[23]/.test(code);
}

async function addEvents(manager: EntityManager, events: readonly RecordedEvent[]): Promise<number> {
  const column = <T>(of: (event: RecordedEvent) => T): T[] => events.map(of);
  const [added] = await manager.query<{ count: number }[]>(
    `WITH added AS (
       INSERT INTO audit.events (id, source, incarnation, sequence, type, entity, entity_id, severity, actor, time,
                                 traceparent, data, signature, stream_seq)
       SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[],
                            $8::text[], $9::text[], $10::timestamptz[], $11::text[], $12::json[], $13::text[],
                            $14::bigint[])
       ON CONFLICT (id) DO NOTHING RETURNING 1
     ) SELECT count(*)::integer AS count FROM added`,
    [
      column((event) => event.attributes.id),
      column((event) => event.attributes.source),
      column((event) => event.attributes.incarnation),
      column((event) => event.attributes.sequence),
      column((event) => event.attributes.type),
      column((event) => event.entity),
      column((event) => event.entityId),
      column((event) => event.severity),
      column((event) => event.attributes.actor),
      column((event) => event.attributes.time),
      column((event) => event.attributes.traceparent ?? null),
      column((event) => event.data),
      column((event) => event.signature),
      column((event) => event.message.streamSeq),
    ],
  );
  return added?.count ?? 0;
}

async function addQuarantined(manager: EntityManager, rows: readonly QuarantinedMessage[]): Promise<number> {
  const [added] = await manager.query<{ count: number }[]>(
    `WITH added AS (
       INSERT INTO audit.quarantine (digest, stream_seq, subject, headers, body, reason)
       SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::text[], $4::json[], $5::bytea[], $6::text[])
       ON CONFLICT (digest) DO NOTHING RETURNING 1
     ) SELECT count(*)::integer AS count FROM added`,
    [
      rows.map((row) => row.digest),
      rows.map((row) => row.message.streamSeq),
      rows.map((row) => row.message.subject),
      rows.map((row) => JSON.stringify(row.message.headers)),
      rows.map((row) => Buffer.from(row.message.bytes)),
      rows.map((row) => row.reason),
    ],
  );
  return added?.count ?? 0;
}
