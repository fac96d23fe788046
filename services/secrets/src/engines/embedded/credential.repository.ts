import { Injectable } from '@nestjs/common';
import { type Transaction, TransactionRunner } from '#libs/persistence';
import { DataSource } from 'typeorm';
import type { Envelope } from './envelope.js';

/** One version of an account's credentials as it lies in the database. */
export interface CredentialRow extends Envelope {
  readonly version: number;
  readonly createdAt: Date;
  readonly createdBy: string;
}

export interface NextVersion {
  /** Whether the newest version stays the newest, and nothing is stored. */
  readonly keeps: (newest: CredentialRow) => boolean;
  /** Makes the ciphertext of the next version. */
  readonly close: (version: number) => Envelope;
  /** What goes into the same transaction. */
  readonly record: (transaction: Transaction, version: number) => Promise<void>;
}

/** Versions kept of one account; older ones are removed when a new one is stored. */
export const versions_kept_max = 5;

@Injectable()
export class CredentialRepository {
  constructor(
    private readonly dataSource: DataSource,
    private readonly transactions: TransactionRunner,
  ) {}

  async newest(account: string): Promise<CredentialRow | null> {
    return newestOf(this.dataSource.manager, account);
  }

  /** Stores the next version, one writer an account at a time. Answers the newest version. */
  async append(account: string, by: string, next: NextVersion): Promise<CredentialRow> {
    return this.transactions.run(async (manager) => {
      await manager.query(`SELECT pg_advisory_xact_lock(hashtextextended('secrets.credentials:' || $1, 0))`, [
        account,
      ]);
      const newest = await newestOf(manager, account);
      if (newest !== null && next.keeps(newest)) return newest;
      const version = (newest?.version ?? 0) + 1;
      const { keyId, wrappedKey, ciphertext } = next.close(version);
      const inserted = await manager.query<RawRow[]>(
        `INSERT INTO secrets.credentials (account, version, key_id, wrapped_key, ciphertext, created_by)
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING ${columns}`,
        [account, version, keyId, wrappedKey, ciphertext, by],
      );
      await manager.query(`DELETE FROM secrets.credentials WHERE account = $1 AND version <= $2`, [
        account,
        version - versions_kept_max,
      ]);
      await next.record(manager, version);
      const [row] = inserted;
      if (row === undefined) throw new Error('An INSERT … RETURNING gave no row.');
      return fromRaw(row);
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

const columns = 'version, key_id, wrapped_key, ciphertext, created_at, created_by';

async function newestOf(manager: Transaction, account: string): Promise<CredentialRow | null> {
  const rows = await manager.query<RawRow[]>(
    `SELECT ${columns} FROM secrets.credentials WHERE account = $1 ORDER BY version DESC LIMIT 1`,
    [account],
  );
  const [row] = rows;
  return row === undefined ? null : fromRaw(row);
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
