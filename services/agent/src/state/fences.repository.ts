import { Injectable } from '@nestjs/common';
import { AgentDatabase } from './agent.database.js';
import { integer } from '#libs/spool';

/** The highest epoch this host has seen of each account. */
@Injectable()
export class FencesRepository {
  constructor(private readonly db: AgentDatabase) {}

  /** 0 for an account never seen. */
  epoch(account: string): number {
    const row = this.db.one('SELECT epoch FROM fences WHERE account = ?', account);
    return row === null ? 0 : integer(row, 'epoch');
  }

  /** Inside a commit. Never lowers. */
  raise(account: string, epoch: number): void {
    this.db.change(
      `INSERT INTO fences (account, epoch) VALUES (?, ?)
       ON CONFLICT (account) DO UPDATE SET epoch = max(epoch, excluded.epoch)`,
      account,
      epoch,
    );
  }
}
