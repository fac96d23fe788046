import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';

export interface GrantRow {
  readonly id: string;
  readonly allocation: string;
  readonly account: string;
  readonly host: string;
  readonly epoch: number;
  readonly credentialVersion: number;
  readonly expiresAt: string;
}

@Injectable()
export class GrantRepository {
  constructor(private readonly dataSource: DataSource) {}

  async insert(manager: EntityManager, grant: GrantRow): Promise<void> {
    await manager.query(
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
