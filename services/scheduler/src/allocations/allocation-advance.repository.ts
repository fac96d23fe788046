import { Injectable } from '@nestjs/common';
import { isLive } from '#libs/contracts';
import type { Transaction } from '#libs/persistence';
import { storableText } from '../database/storable.js';
import { stepsForward, type AllocationStanding, type AllocationStep } from './allocation.advance.js';
import type { AllocationAdvance } from './allocation.rows.js';
import { liveStatesSql, rankSql } from './allocation.states.sql.js';
import { RetryRepository } from './retry.repository.js';

/** The only writer of the states of allocations once they exist. Batches; forward only. */
@Injectable()
export class AllocationAdvanceRepository {
  constructor(private readonly retries: RetryRepository) {}

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
    const bots = await this.retries.lock(tx, ending);
    const standings = await tx.query<AllocationStanding[]>(
      `SELECT id, tenant, bot, account, host, epoch, state, stage, attempt, last_exit AS "lastExit",
              stop_reason AS "stopReason", running_at AS "runningAt"
       FROM scheduler.allocations WHERE id = ANY($1) AND state IN (${liveStatesSql})
       ORDER BY id FOR NO KEY UPDATE`,
      [[...new Set(reports.map((report) => report.id))]],
    );
    const steps = stepsForward(standings, reports);
    if (steps.length === 0) return [];
    await this.write(tx, steps, now);
    await this.retries.plan(tx, steps, bots, now);
    return steps;
  }

  private async write(tx: Transaction, steps: readonly AllocationStep[], now: Date): Promise<void> {
    await tx.query(
      `UPDATE scheduler.allocations a
       SET state = s.state, stage = s.stage, reason = s.reason, detail = s.detail, exit_code = s.exit_code,
           attempt = s.attempt, last_exit = s.last_exit::jsonb,
           running_at = CASE WHEN s.ran THEN coalesce(a.running_at, $8) ELSE a.running_at END,
           ended_at = CASE WHEN s.state IN (${liveStatesSql}) THEN NULL ELSE $8::timestamptz END,
           commands_sent = CASE WHEN s.moved THEN 0 ELSE a.commands_sent END, updated_at = $8
       FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::bool[], $9::bool[],
                   $10::int[], $11::text[])
         AS s (id, state, stage, reason, detail, exit_code, ran, moved, attempt, last_exit)
       WHERE a.id = s.id AND (${rankSql('a.state')} < ${rankSql('s.state')} OR a.state = s.state)`,
      [
        steps.map((s) => s.id),
        steps.map((s) => s.state),
        steps.map((s) => s.stage),
        steps.map((s) => s.reason),
        steps.map((s) => storable(s.detail)),
        steps.map((s) => storableCode(s.exitCode)),
        steps.map((s) => s.ran),
        now,
        steps.map((s) => s.moved),
        steps.map((s) => s.attempt),
        steps.map(({ lastExit }) =>
          lastExit === null ? null : JSON.stringify({ ...lastExit, detail: storable(lastExit.detail) }),
        ),
      ],
    );
  }
}

/** Without it none of the host's heartbeats would be answered, and all its bots would end. */
const storable = (detail: string | null): string | null => (detail === null ? null : storableText(detail));

/** For the same reason: no system has an exit code that its column does not hold. */
const storableCode = (exitCode: number | null): number | null =>
  exitCode !== null && Math.abs(exitCode) <= exit_code_max ? exitCode : null;
const exit_code_max = 2_147_483_647;
