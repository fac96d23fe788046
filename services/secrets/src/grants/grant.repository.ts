import { Injectable } from '@nestjs/common';
import type { Transaction } from '#libs/persistence';
import { DataSource } from 'typeorm';

export interface GrantRow {
  readonly id: string;
  readonly allocation: string;
  readonly account: string;
  readonly host: string;
  readonly epoch: number;
  readonly credentialVersion: number;
  readonly expiresAt: string;
}

/** Grants kept of one account; the events of all of them are in the audit log. */
export const grants_kept_max = 100;

@Injectable()
export class GrantRepository {
  constructor(private readonly dataSource: DataSource) {}

  /** Adds the grant and removes the account's oldest beyond `grants_kept_max`. */
  async insert(transaction: Transaction, grant: GrantRow): Promise<void> {
    await transaction.query(
      `INSERT INTO secrets.grants (id, allocation, account, host, epoch, credential_version, expires_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7)`,
      [
        grant.id,
        grant.allocation,
        grant.account,
        grant.host,
        grant.epoch,
        grant.credentialVersion,
        grant.expiresAt,
      ],
    );
    await transaction.query(
      `DELETE FROM secrets.grants WHERE id IN (
         SELECT id FROM secrets.grants WHERE account = $1 ORDER BY issued_at DESC, id DESC OFFSET $2)`,
      [grant.account, grants_kept_max],
    );
  }

  /** When the account's credentials were last given out; null if never. */
  async lastGrantedAt(account: string): Promise<string | null> {
    const rows = await this.dataSource.query<{ issued_at: Date }[]>(
      `SELECT issued_at FROM secrets.grants WHERE account = $1 ORDER BY issued_at DESC LIMIT 1`,
      [account],
    );
    return rows[0]?.issued_at.toISOString() ?? null;
  }
}
