import { Injectable } from '@nestjs/common';
import type { Transaction } from '#libs/persistence';

/** An invitation that has not been used. */
export interface OpenInvitation {
  readonly id: string;
  readonly tokenHash: Buffer;
  readonly replaceKey: boolean;
  readonly expiresAt: Date;
}

/** Invitations of hosts, at most one open for each. */
@Injectable()
export class JoinTokenRepository {
  /** Opens one; the open one of the host, if there is, is good no more. */
  async open(
    tx: Transaction,
    host: string,
    invitation: OpenInvitation & { readonly createdAt: Date; readonly by: string },
  ): Promise<void> {
    const { id, tokenHash, replaceKey, createdAt, by, expiresAt } = invitation;
    await tx.query(
      `INSERT INTO scheduler.join_tokens (id, host, token_hash, replace_key, created_at, created_by, expires_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7)
       ON CONFLICT (host) WHERE used_at IS NULL DO UPDATE SET id = excluded.id, token_hash = excluded.token_hash,
         replace_key = excluded.replace_key, created_at = excluded.created_at, created_by = excluded.created_by,
         expires_at = excluded.expires_at`,
      [id, host, tokenHash, replaceKey, createdAt, by, expiresAt],
    );
  }

  /** The open invitation of the host, also an expired one; nobody else can use it before the transaction ends. */
  async hold(tx: Transaction, host: string): Promise<OpenInvitation | null> {
    const rows: OpenInvitation[] = await tx.query(
      `SELECT id, token_hash AS "tokenHash", replace_key AS "replaceKey", expires_at AS "expiresAt"
       FROM scheduler.join_tokens WHERE host = $1 AND used_at IS NULL FOR UPDATE`,
      [host],
    );
    return rows[0] ?? null;
  }

  /** Its one time is over. */
  async use(tx: Transaction, id: string, now: Date): Promise<void> {
    await tx.query('UPDATE scheduler.join_tokens SET used_at = $2 WHERE id = $1', [id, now]);
  }

  /** Nobody may join by an invitation to a host that is gone. */
  async withdraw(tx: Transaction, host: string): Promise<void> {
    await tx.query('DELETE FROM scheduler.join_tokens WHERE host = $1 AND used_at IS NULL', [host]);
  }
}
