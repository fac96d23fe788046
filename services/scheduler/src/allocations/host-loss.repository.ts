import { Injectable } from '@nestjs/common';
import type { Transaction } from '#libs/persistence';
import { liveStatesSql } from './allocation.states.sql.js';

@Injectable()
export class HostLossRepository {
  /** Null when the host was down already. */
  async markDown(tx: Transaction, host: string): Promise<{ incarnation: string } | null> {
    const [rows] = await tx.query<[{ incarnation: string }[], number]>(
      `UPDATE scheduler.hosts SET state = 'down', generation = generation + 1
       WHERE name = $1 AND state <> 'down' RETURNING incarnation`,
      [host],
    );
    return rows[0] ?? null;
  }

  /** Of the host, those whose leases last no longer than this. @param leaseTtlMs of the fleet */
  async liveAllocations(
    tx: Transaction,
    host: string,
    longest_ms: number,
    leaseTtlMs: number,
  ): Promise<string[]> {
    const rows = await tx.query<{ id: string }[]>(
      `SELECT id FROM scheduler.allocations WHERE host = $1 AND state IN (${liveStatesSql})
         AND greatest(coalesce(lease_ttl_ms, 0), $3::int) <= $2`,
      [host, longest_ms, leaseTtlMs],
    );
    return rows.map((row) => row.id);
  }
}
