import type { Account } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Transaction } from '#libs/persistence';

interface AccountRow {
  name: string;
  tenant: string;
  server: string;
  login: string;
  locked_reason: string | null;
  locked_by: string | null;
  locked_at: Date | null;
  generation: number;
  created_at: Date;
  created_by: string;
  epoch: number;
}

/** An account with the last epoch given out for it. */
const withEpoch = `
  SELECT a.*, coalesce(f.epoch, 0) AS epoch
  FROM scheduler.accounts a LEFT JOIN scheduler.fences f ON f.account = a.name`;

@Injectable()
export class AccountRepository {
  constructor(private readonly dataSource: DataSource) {}

  /** False when the name, or the login at the server, is taken. */
  async insert(
    tx: Transaction,
    account: { name: string; tenant: string; server: string; login: number; by: string },
  ): Promise<boolean> {
    const rows: unknown[] = await tx.query(
      `INSERT INTO scheduler.accounts (name, tenant, server, login, created_by) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT DO NOTHING RETURNING name`,
      [account.name, account.tenant, account.server, account.login, account.by],
    );
    return rows.length > 0;
  }

  async find(name: string, tx?: Transaction): Promise<Account | null> {
    const rows: AccountRow[] = await (tx ?? this.dataSource.manager).query(`${withEpoch} WHERE a.name = $1`, [
      name,
    ]);
    return rows.map(toAccount)[0] ?? null;
  }

  /** Reads it and keeps others from changing it until the transaction ends. */
  async findForUpdate(tx: Transaction, name: string): Promise<Account | null> {
    const rows: AccountRow[] = await tx.query(`${withEpoch} WHERE a.name = $1 FOR NO KEY UPDATE OF a`, [
      name,
    ]);
    return rows.map(toAccount)[0] ?? null;
  }

  /** Name of the account that a login at a server belongs to. */
  async nameOfLogin(tx: Transaction, server: string, login: number): Promise<string | undefined> {
    const rows: { name: string }[] = await tx.query(
      'SELECT name FROM scheduler.accounts WHERE server = $1 AND login = $2',
      [server, login],
    );
    return rows[0]?.name;
  }

  async page(query: {
    tenant: string | undefined;
    after: string | undefined;
    rows_max: number;
  }): Promise<Account[]> {
    const rows: AccountRow[] = await this.dataSource.query(
      `${withEpoch}
       WHERE ($1::text IS NULL OR a.tenant = $1) AND ($2::text IS NULL OR a.name > $2)
       ORDER BY a.name LIMIT $3`,
      [query.tenant ?? null, query.after ?? null, query.rows_max],
    );
    return rows.map(toAccount);
  }

  /** Locks it, or with null unlocks it. */
  async setLock(tx: Transaction, name: string, lock: { reason: string; by: string } | null): Promise<void> {
    await tx.query(
      `UPDATE scheduler.accounts
       SET locked_reason = $2, locked_by = $3, locked_at = CASE WHEN $2::text IS NULL THEN NULL ELSE now() END,
         generation = generation + 1
       WHERE name = $1`,
      [name, lock?.reason ?? null, lock?.by ?? null],
    );
  }

  /** Bots of the account that are not being deleted: one at most. */
  async botsOf(
    tx: Transaction,
    account: string,
  ): Promise<{ name: string; desired: string; generation: number }[]> {
    return await tx.query(
      `SELECT name, desired, generation FROM scheduler.bots WHERE account = $1 AND desired <> 'deleted'
       FOR NO KEY UPDATE`,
      [account],
    );
  }
}

function toAccount(row: AccountRow): Account {
  const { locked_at: at, locked_by: by, locked_reason: reason } = row;
  return {
    name: row.name,
    tenant: row.tenant,
    server: row.server,
    login: Number(row.login),
    locked: at === null || by === null || reason === null ? null : { reason, by, at: at.toISOString() },
    epoch: row.epoch,
    generation: row.generation,
    createdAt: row.created_at.toISOString(),
    createdBy: row.created_by,
  };
}
