import { Injectable } from '@nestjs/common';
import { isLive } from '#libs/contracts';
import type { Transaction } from '#libs/persistence';
import { retryAfter } from '../reconciliation/backoff.policy.js';
import { stepsForward, type AllocationStanding, type AllocationStep } from './allocation.advance.js';
import type { AllocationAdvance } from './allocation.rows.js';
import { liveStatesSql, rankSql } from './allocation.states.sql.js';

/** The only writer of the states of allocations once they exist. Batches; forward only. */
@Injectable()
export class AllocationAdvanceRepository {
  /**
   * Writes what of the reports leads forward, and what follows for the next try of bots whose allocation ended.
   * Locks bots before allocations, each in order, as everywhere.
   * @param now wall clock
   * @returns the steps taken; the caller reports their bots to the operations
   */
  async advance(
    tx: Transaction,
    reports: readonly AllocationAdvance[],
    now: Date,
  ): Promise<AllocationStep[]> {
    if (reports.length === 0) return [];
    const ending = reports.filter((report) => !isLive(report.state)).map((report) => report.id);
    const failures = ending.length === 0 ? new Map<string, number>() : await this.lockBots(tx, ending);
    const standings = await tx.query<AllocationStanding[]>(
      `SELECT id, tenant, bot, account, host, epoch, state, stage, stop_reason AS "stopReason",
              running_at AS "runningAt"
       FROM scheduler.allocations WHERE id = ANY($1) AND state IN (${liveStatesSql})
       ORDER BY id FOR NO KEY UPDATE`,
      [[...new Set(reports.map((report) => report.id))]],
    );
    const steps = stepsForward(standings, reports);
    if (steps.length === 0) return [];
    await this.write(tx, steps, now);
    await this.planRetries(tx, steps, failures, now);
    return steps;
  }

  private async lockBots(tx: Transaction, allocations: readonly string[]): Promise<Map<string, number>> {
    const rows = await tx.query<{ name: string; failures: number }[]>(
      `SELECT name, failures FROM scheduler.bots
       WHERE name IN (SELECT bot FROM scheduler.allocations WHERE id = ANY($1)) ORDER BY name FOR NO KEY UPDATE`,
      [allocations],
    );
    return new Map(rows.map((row) => [row.name, row.failures]));
  }

  private async write(tx: Transaction, steps: readonly AllocationStep[], now: Date): Promise<void> {
    await tx.query(
      `UPDATE scheduler.allocations a
       SET state = s.state, stage = s.stage, reason = s.reason, detail = s.detail, exit_code = s.exit_code,
           running_at = CASE WHEN s.ran THEN coalesce(a.running_at, $8) ELSE a.running_at END,
           ended_at = CASE WHEN s.state IN (${liveStatesSql}) THEN NULL ELSE $8::timestamptz END,
           commands_sent = CASE WHEN s.moved THEN 0 ELSE a.commands_sent END, updated_at = $8
       FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::bool[], $9::bool[])
         AS s (id, state, stage, reason, detail, exit_code, ran, moved)
       WHERE a.id = s.id AND (${rankSql('a.state')} < ${rankSql('s.state')} OR a.state = s.state)`,
      [
        steps.map((s) => s.id),
        steps.map((s) => s.state),
        steps.map((s) => s.stage),
        steps.map((s) => s.reason),
        steps.map((s) => storable(s.detail)),
        steps.map((s) => s.exitCode),
        steps.map((s) => s.ran),
        now,
        steps.map((s) => s.moved),
      ],
    );
  }

  /** When the bots of ended allocations are tried again: written with the end, so that no crash loop has no delay. */
  private async planRetries(
    tx: Transaction,
    steps: readonly AllocationStep[],
    failures: ReadonlyMap<string, number>,
    now: Date,
  ): Promise<void> {
    const retries = steps.flatMap((step) => {
      const before = failures.get(step.from.bot);
      if (isLive(step.state) || before === undefined) return [];
      const { runningAt, stopReason } = step.from;
      const ranForMs = runningAt === null ? null : now.getTime() - runningAt.getTime();
      const ending = {
        state: step.state,
        reason: step.reason,
        asked: stopReason !== null && stopReason !== 'rejected',
        ranForMs,
      };
      const retry = retryAfter(ending, before, Math.random());
      const at = retry.delayMs === null ? null : new Date(now.getTime() + retry.delayMs);
      return [{ bot: step.from.bot, failures: retry.failures, at }];
    });
    if (retries.length === 0) return;
    await tx.query(
      `UPDATE scheduler.bots b SET failures = r.failures, retry_at = r.at
       FROM unnest($1::text[], $2::int[], $3::timestamptz[]) AS r (bot, failures, at) WHERE b.name = r.bot`,
      [retries.map((r) => r.bot), retries.map((r) => r.failures), retries.map((r) => r.at)],
    );
  }
}

/**
 * Postgres takes no NUL. Hosts hand on what bots say, and one such word must not keep the report from being written:
 * without it none of the host's heartbeats would be answered, and all its bots would end.
 */
const storable = (detail: string | null): string | null => detail?.replaceAll('\0', ' ') ?? null;
