import type { LogRecord } from '#libs/contracts';
import type { Transaction } from '#libs/persistence';
import { Injectable } from '@nestjs/common';
import { eventColumns } from '../ingestion/columns.js';
import { LogRepository } from '../ingestion/log.repository.js';

/** A record with its leaf, and where it was committed. */
export interface LostRecord {
  readonly position: number;
  readonly record: LogRecord;
  readonly leaf: Buffer;
}

const nowhere = { streamSeq: 0, subject: '', headers: {}, bytes: new Uint8Array() };

/** Puts records back, as the writer. */
@Injectable()
export class RestoreRepository {
  constructor(private readonly log: LogRepository) {}

  /** Nobody else adds to the log until the transaction ends. Records that it has. */
  async lock(tx: Transaction): Promise<number> {
    return (await this.log.lockHead(tx)).size;
  }

  /** Leaves of the rows at these positions. */
  async leavesAt(tx: Transaction, positions: readonly number[]): Promise<ReadonlyMap<number, Buffer[]>> {
    const rows = await tx.query<{ position: string; leaf: Buffer }[]>(
      'SELECT position, leaf_hash AS leaf FROM audit.events WHERE position = ANY ($1::bigint[])',
      [positions],
    );
    const found = new Map<number, Buffer[]>();
    for (const { position, leaf } of rows) {
      const at = Number(position);
      found.set(at, [...(found.get(at) ?? []), leaf]);
    }
    return found;
  }

  /** False when the log has an event of this id. */
  async insert(tx: Transaction, { position, record, leaf }: LostRecord): Promise<boolean> {
    const rows = await tx.query<object[]>(
      insertSql,
      eventColumns([{ message: nowhere, record, hash: leaf }], position),
    );
    return rows.length > 0;
  }
}

const insertSql = `
  INSERT INTO audit.events (id, position, source, incarnation, sequence, type, entity, entity_id, severity, retention,
                            actor, subject_id, time, traceparent, data, signature, recorded_at, leaf_hash)
  SELECT new.* FROM unnest(
    $1::uuid[], $2::bigint[], $3::text[], $4::uuid[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::text[], $12::uuid[], $13::timestamptz[], $14::text[], $15::json[], $16::text[],
    $17::timestamptz[], $18::bytea[]) AS new
  ON CONFLICT DO NOTHING RETURNING id`;
