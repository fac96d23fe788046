import type { LogDamage } from '#libs/contracts';
import type { Transaction } from '#libs/persistence';
import { Injectable } from '@nestjs/common';
import { ReaderDatabase } from '../database/reader.js';

/** Where the round is. */
export interface Place {
  readonly stretch: number;
  /** Records in the log: every lower position is committed. */
  readonly size: number;
  /** The first stretch with damage that is known; null: none. */
  readonly damaged: number | null;
}

interface DamageRow {
  readonly what: LogDamage['what'];
  /** Decimal: Postgres gives a bigint as text. */
  readonly position: string;
  readonly records: string;
  readonly detail: string;
}

const columns = 'what, position, records, detail';
const toDamage = ({ position, records, ...row }: DamageRow): LogDamage => ({
  ...row,
  position: Number(position),
  records: Number(records),
});

/** What is known to be damaged, and where the round is. */
@Injectable()
export class DamageRepository {
  constructor(private readonly reader: ReaderDatabase) {}

  /** Null while another process reads. The place is this transaction's. */
  async hold(tx: Transaction): Promise<Place | null> {
    const [row] = await tx.query<{ stretch: string; size: string; damaged: string | null }[]>(
      `SELECT place.stretch, head.size, (SELECT min(stretch) FROM audit_work.damage) AS damaged
         FROM audit_work.self_check AS place CROSS JOIN audit_work.head FOR UPDATE OF place SKIP LOCKED`,
    );
    if (row === undefined) return null;
    return {
      stretch: Number(row.stretch),
      size: Number(row.size),
      damaged: row.damaged === null ? null : Number(row.damaged),
    };
  }

  /** @param endedAt when a round ended with this stretch; null: it goes on */
  async move(tx: Transaction, stretch: number, endedAt: Date | null): Promise<void> {
    await tx.query(
      `UPDATE audit_work.self_check SET stretch = $1, rounds = rounds + ($2::timestamptz IS NOT NULL)::integer,
              round_ended_at = coalesce($2, round_ended_at)`,
      [stretch, endedAt],
    );
  }

  /** What is known of a stretch, and of how many stretches there is anything. */
  async known(tx: Transaction, stretch: number): Promise<{ damage: LogDamage[]; stretches: number }> {
    const rows = await tx.query<DamageRow[]>(
      `SELECT ${columns} FROM audit_work.damage WHERE stretch = $1 ORDER BY what`,
      [stretch],
    );
    const [all] = await tx.query<{ count: number }[]>(
      'SELECT count(DISTINCT stretch)::integer AS count FROM audit_work.damage',
    );
    return { damage: rows.map(toDamage), stretches: all?.count ?? 0 };
  }

  async add(tx: Transaction, stretch: number, damage: readonly LogDamage[], at: Date): Promise<void> {
    for (const { what, position, records, detail } of damage)
      await tx.query(
        `INSERT INTO audit_work.damage (stretch, ${columns}, found_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (stretch, what) DO UPDATE
            SET position = excluded.position, records = excluded.records, detail = excluded.detail`,
        [stretch, what, position, records, detail, at],
      );
  }

  async remove(tx: Transaction, stretch: number, whats: readonly LogDamage['what'][]): Promise<void> {
    if (whats.length === 0) return;
    await tx.query('DELETE FROM audit_work.damage WHERE stretch = $1 AND what = ANY ($2)', [stretch, whats]);
  }

  /** The first damage that is known of; null: none. */
  async first(): Promise<LogDamage | null> {
    const [row] = await this.reader.query<DamageRow[]>(
      `SELECT ${columns} FROM audit_work.damage ORDER BY position, what LIMIT 1`,
    );
    return row === undefined ? null : toDamage(row);
  }
}
