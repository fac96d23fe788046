import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Queryable } from '../database/roles.js';
import type { StoredSubject, SubjectStore } from './subject.store.js';

const columns = 'id, name_mac AS mac, wrapped_key AS "wrappedKey", sealed_name AS "sealedName"';

@Injectable()
export class SubjectRepository implements SubjectStore {
  constructor(private readonly dataSource: DataSource) {}

  async byMacs(macs: readonly Buffer[]): Promise<readonly StoredSubject[]> {
    return await this.dataSource.query<StoredSubject[]>(
      `SELECT ${columns} FROM audit_work.subjects WHERE name_mac = ANY ($1::bytea[])`,
      [macs],
    );
  }

  async byIds(ids: readonly string[]): Promise<readonly StoredSubject[]> {
    return await this.dataSource.query<StoredSubject[]>(
      `SELECT ${columns} FROM audit_work.subjects WHERE id = ANY ($1::uuid[])`,
      [ids],
    );
  }

  async add(subjects: readonly StoredSubject[], now: string): Promise<void> {
    // In one order everywhere: two that add the same names wait for each other, and not in a circle.
    const rows = subjects.toSorted((one, other) => one.mac.compare(other.mac));
    await this.dataSource.query(
      `INSERT INTO audit_work.subjects (id, name_mac, wrapped_key, sealed_name, created_at)
       SELECT new.*, $5::timestamptz FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bytea[]) AS new
       ON CONFLICT (name_mac) DO NOTHING`,
      [
        rows.map((row) => row.id),
        rows.map((row) => row.mac),
        rows.map((row) => row.wrappedKey),
        rows.map((row) => row.sealedName),
        now,
      ],
    );
  }

  /** Destroys a key within the caller's transaction. How many records it sealed that are not archived; null: no such key. */
  async erase(queryable: Queryable, id: string): Promise<number | null> {
    const [row] = await queryable.query<{ records: string | null }[]>(
      'SELECT audit.erase_subject($1::uuid) AS records',
      [id],
    );
    return row?.records == null ? null : Number(row.records);
  }

  /**
   * Takes out what was put aside and may name the person, in the transaction that erased it. How many messages.
   */
  async redactQuarantine(queryable: Queryable, id: string, name: string): Promise<number> {
    const [row] = await queryable.query<{ messages: string }[]>(
      'SELECT audit.redact_quarantine($1::uuid, $2) AS messages',
      [id, name],
    );
    return Number(row?.messages ?? 0);
  }
}
