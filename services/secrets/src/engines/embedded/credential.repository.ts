import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Envelope } from './envelope.js';

/** One version of an account's credentials as it lies in the database. */
export interface CredentialRow extends Envelope {
  readonly version: number;
  readonly createdAt: Date;
  readonly createdBy: string;
}

/** Versions kept of one account; older ones are removed when a new one is stored. */
const versions_kept_max = 5;

@Injectable()
export class CredentialRepository {
  constructor(private readonly dataSource: DataSource) {}

  async newest(account: string): Promise<CredentialRow | null> {
    const rows = await this.dataSource.query<RawRow[]>(
      `SELECT version, key_id, wrapped_key, ciphertext, created_at, created_by
         FROM secrets.credentials WHERE account = $1 ORDER BY version DESC LIMIT 1`,
      [account],
    );
    const row = rows[0];
    return row === undefined ? null : fromRaw(row);
  }

  /**
   * Stores what `close` makes for the next version, one writer an account at a time. With `onlyIfAbsent` an account
   * that has a version keeps it. Answers the newest version.
   */
  async append(
    account: string,
    by: string,
    onlyIfAbsent: boolean,
    close: (version: number) => Envelope,
  ): Promise<CredentialRow> {
    return this.dataSource.transaction(async (manager) => {
      await manager.query(`SELECT pg_advisory_xact_lock(hashtextextended('secrets.credentials:' || $1, 0))`, [
        account,
      ]);
      const before = await manager.query<RawRow[]>(
        `SELECT version, key_id, wrapped_key, ciphertext, created_at, created_by
           FROM secrets.credentials WHERE account = $1 ORDER BY version DESC LIMIT 1`,
        [account],
      );
      if (onlyIfAbsent && before[0] !== undefined) return fromRaw(before[0]);
      const version = (before[0]?.version ?? 0) + 1;
      const envelope = close(version);
      const inserted = await manager.query<{ created_at: Date }[]>(
        `INSERT INTO secrets.credentials (account, version, key_id, wrapped_key, ciphertext, created_by)
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING created_at`,
        [account, version, envelope.keyId, envelope.wrappedKey, envelope.ciphertext, by],
      );
      await manager.query(`DELETE FROM secrets.credentials WHERE account = $1 AND version <= $2`, [
        account,
        version - versions_kept_max,
      ]);
      return { ...envelope, version, createdAt: inserted[0]?.created_at ?? new Date(), createdBy: by };
    });
  }
}

interface RawRow {
  version: number;
  key_id: string;
  wrapped_key: Buffer;
  ciphertext: Buffer;
  created_at: Date;
  created_by: string;
}

function fromRaw(row: RawRow): CredentialRow {
  return {
    version: row.version,
    keyId: row.key_id,
    wrappedKey: row.wrapped_key,
    ciphertext: row.ciphertext,
    createdAt: row.created_at,
    createdBy: row.created_by,
  };
}
