import { Injectable } from '@nestjs/common';
import type { Move, MoveReason, MoveState } from '#libs/contracts';
import { DataSource } from 'typeorm';

interface MoveRow {
  id: string;
  bot: string;
  tenant: string;
  account: string;
  from_host: string;
  to_host: string;
  reason: MoveReason;
  state: MoveState;
  prepared: boolean;
  prepare_by: Date | null;
  gap_ms: number | null;
  detail: string | null;
  operation: string | null;
  requested_by: string;
  created_at: Date;
  updated_at: Date;
}

export interface MoveFilter {
  readonly host?: string | undefined;
  readonly bot?: string | undefined;
  readonly state?: MoveState | undefined;
}

/** Moves as clients see them. */
@Injectable()
export class MoveListRepository {
  constructor(private readonly dataSource: DataSource) {}

  async find(id: string): Promise<Move | null> {
    const rows = await this.dataSource.query<MoveRow[]>('SELECT * FROM scheduler.moves WHERE id = $1', [id]);
    return rows.map(toMove)[0] ?? null;
  }

  /** Newest first: ids sort by time. `after` is the last id of the page before. */
  async page({ host, bot, state }: MoveFilter, after: string | null, rows_max: number): Promise<Move[]> {
    const rows = await this.dataSource.query<MoveRow[]>(
      `SELECT * FROM scheduler.moves
       WHERE ($1::text IS NULL OR from_host = $1 OR to_host = $1) AND ($2::text IS NULL OR bot = $2)
         AND ($3::text IS NULL OR state = $3) AND ($4::uuid IS NULL OR id < $4)
       ORDER BY id DESC LIMIT $5`,
      [host ?? null, bot ?? null, state ?? null, after, rows_max],
    );
    return rows.map(toMove);
  }
}

const toMove = (row: MoveRow): Move => ({
  id: row.id,
  bot: row.bot,
  tenant: row.tenant,
  account: row.account,
  from: row.from_host,
  to: row.to_host,
  reason: row.reason,
  state: row.state,
  prepared: row.prepared,
  prepareBy: row.prepare_by?.toISOString() ?? null,
  gapMs: row.gap_ms,
  detail: row.detail,
  operation: row.operation,
  by: row.requested_by,
  createdAt: row.created_at.toISOString(),
  updatedAt: row.updated_at.toISOString(),
});
