import { Injectable } from '@nestjs/common';
import type { Transaction } from '#libs/persistence';
import { liveStatesSql } from './allocation.states.sql.js';

/** What an event about a bot tells. */
export interface BotNotice {
  readonly bot: string;
  readonly tenant: string;
  readonly account: string;
  readonly generation: number;
  readonly changedBy: string;
}

const noticeColumns = 'name AS bot, tenant, account, generation, changed_by AS "changedBy"';

/** What the runtime writes on bots: why they wait, and their end. */
@Injectable()
export class BotQueueRepository {
  /** Waiting is over. @param fresh those whose earlier failures were another definition's */
  async placed(tx: Transaction, bots: readonly string[], fresh: readonly string[]): Promise<void> {
    await tx.query(
      `UPDATE scheduler.bots SET queued_reason = NULL, queued_at = NULL, retry_at = NULL, gave_up_at = NULL,
              failures = CASE WHEN name = ANY($2) THEN 0 ELSE failures END,
              recent_failures = CASE WHEN name = ANY($2) THEN '[]' ELSE recent_failures END
       WHERE name = ANY($1)
         AND (queued_reason IS NOT NULL OR queued_at IS NOT NULL OR retry_at IS NOT NULL OR gave_up_at IS NOT NULL
              OR (failures > 0 AND name = ANY($2)))`,
      [bots, fresh],
    );
  }

  /** Writes the reasons that are new. Answers the bots that got one. */
  async explain(
    tx: Transaction,
    reasons: readonly { bot: string; reason: string }[],
    now: Date,
  ): Promise<(BotNotice & { reason: string })[]> {
    const [rows] = await tx.query<[(BotNotice & { reason: string })[], number]>(
      `UPDATE scheduler.bots b SET queued_reason = r.reason, queued_at = coalesce(b.queued_at, $3)
       FROM (SELECT name, reason FROM unnest($1::text[], $2::text[]) AS i (name, reason)
             JOIN (SELECT name FROM scheduler.bots WHERE name = ANY($1) ORDER BY name FOR NO KEY UPDATE) l USING (name)) r
       WHERE b.name = r.name AND b.desired = 'running' AND b.queued_reason IS DISTINCT FROM r.reason
       RETURNING b.name AS bot, b.tenant, b.account, b.generation, b.changed_by AS "changedBy", r.reason`,
      [reasons.map((r) => r.bot), reasons.map((r) => r.reason.slice(0, 300)), now],
    );
    return rows;
  }

  async clear(tx: Transaction, bots: readonly string[]): Promise<void> {
    await tx.query(
      `UPDATE scheduler.bots SET queued_reason = NULL, queued_at = NULL
       WHERE name IN (SELECT name FROM scheduler.bots WHERE name = ANY($1) ORDER BY name FOR NO KEY UPDATE)`,
      [bots],
    );
  }

  async deleteBots(tx: Transaction, rows_max: number): Promise<BotNotice[]> {
    const [rows] = await tx.query<[BotNotice[], number]>(
      `DELETE FROM scheduler.bots WHERE name IN (
         SELECT b.name FROM scheduler.bots b
         WHERE b.desired = 'deleted' AND NOT EXISTS (
           SELECT 1 FROM scheduler.allocations a WHERE a.account = b.account AND a.state IN (${liveStatesSql}))
         ORDER BY b.name LIMIT $1 FOR UPDATE)
       RETURNING ${noticeColumns}`,
      [rows_max],
    );
    return rows;
  }
}
