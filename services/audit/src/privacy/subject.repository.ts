import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Queryable } from '../database/roles.js';
import type { StoredSubject, SubjectStore } from './subject.store.js';

const columns = 'id, name_mac AS mac, wrapped_key AS "wrappedKey", sealed_name AS "sealedName"';

@Injectable()
export class SubjectRepository implements SubjectStore {
  constructor(private readonly dataSource: DataSource) {}

  async byMacs(macs: readonly Buffer[]): Promise<readonly StoredSubject[]> {
    return await subjectsByMacs(this.dataSource, macs);
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
}

/** The same within a transaction. */
export async function subjectsByMacs(
  queryable: Queryable,
  macs: readonly Buffer[],
): Promise<readonly StoredSubject[]> {
  return await queryable.query<StoredSubject[]>(
    `SELECT ${columns} FROM audit_work.subjects WHERE name_mac = ANY ($1::bytea[])`,
    [macs],
  );
}
