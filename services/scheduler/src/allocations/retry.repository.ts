import { Injectable } from '@nestjs/common';
import { isLive, type Policies } from '#libs/contracts';
import { Outbox, type Transaction } from '#libs/persistence';
import type { AllocationStep } from './allocation.advance.js';
import { followUp, type BotRetry, type RecentFailure } from './bot.retry.js';

interface LockedBot {
  readonly name: string;
  readonly tenant: string;
  readonly account: string;
  readonly generation: number;
  readonly failures: RecentFailure[];
  readonly reschedule: Policies['reschedule'];
}
interface Planned {
  readonly bot: LockedBot;
  readonly step: AllocationStep;
  readonly retry: BotRetry;
}

/** When the bots of ended allocations are tried again: written with the end, so that no crash loop has no delay. */
@Injectable()
export class RetryRepository {
  constructor(private readonly outbox: Outbox) {}

  /** The bots of these allocations, by name, locked. */
  async lock(tx: Transaction, allocations: readonly string[]): Promise<Map<string, LockedBot>> {
    if (allocations.length === 0) return new Map();
    const rows = await tx.query<LockedBot[]>(
      `SELECT name, tenant, account, generation, recent_failures AS failures, policies->'reschedule' AS reschedule
       FROM scheduler.bots
       WHERE name IN (SELECT bot FROM scheduler.allocations WHERE id = ANY($1)) ORDER BY name FOR NO KEY UPDATE`,
      [allocations],
    );
    return new Map(rows.map((row) => [row.name, row]));
  }

  /** Writes what follows for the bots of the steps that end, and tells of those that are given up. */
  async plan(
    tx: Transaction,
    steps: readonly AllocationStep[],
    bots: ReadonlyMap<string, LockedBot>,
    now: Date,
  ): Promise<void> {
    const planned = steps.flatMap((step): Planned[] => {
      const bot = bots.get(step.from.bot);
      if (isLive(step.state) || bot === undefined) return [];
      const { state, reason, from } = step;
      // The scheduler itself ends what a host does not take up: nobody asked for that.
      const asked = from.stopReason !== null && from.stopReason !== 'rejected';
      const ending = { state, reason, asked, host: from.host };
      const retry = followUp(ending, bot.failures, bot.reschedule, now.getTime(), Math.random());
      return [{ bot, step, retry }];
    });
    if (planned.length === 0) return;
    await this.write(tx, planned, now);
    await this.tell(
      tx,
      planned.filter(({ retry }) => retry.gaveUp),
    );
  }

  private async write(tx: Transaction, planned: readonly Planned[], now: Date): Promise<void> {
    await tx.query(
      `UPDATE scheduler.bots b
       SET failures = r.failures, retry_at = r.at, recent_failures = r.recent::jsonb,
           gave_up_at = CASE WHEN r.gave_up THEN $6::timestamptz END,
           queued_reason = CASE WHEN r.gave_up THEN NULL ELSE b.queued_reason END,
           queued_at = CASE WHEN r.gave_up THEN NULL ELSE b.queued_at END
       FROM unnest($1::text[], $2::int[], $3::timestamptz[], $4::text[], $5::bool[])
         AS r (bot, failures, at, recent, gave_up)
       WHERE b.name = r.bot`,
      [
        planned.map(({ bot }) => bot.name),
        planned.map(({ retry }) => retry.failures),
        planned.map(({ retry }) => (retry.delayMs === null ? null : new Date(now.getTime() + retry.delayMs))),
        planned.map(({ retry }) => JSON.stringify(retry.recent)),
        planned.map(({ retry }) => retry.gaveUp),
        now,
      ],
    );
  }

  private async tell(tx: Transaction, givenUp: readonly Planned[]): Promise<void> {
    if (givenUp.length === 0) return;
    await this.outbox.events(
      tx,
      givenUp.map(({ bot: { name, tenant, account, generation }, step, retry: { failures } }) => ({
        type: 'tradefleet.bot.gave-up' as const,
        id: name,
        actor: 'service:scheduler',
        data: {
          ...{ tenant, bot: name, account, generation, operation: null, failures },
          reason: step.detail,
          end: step.reason,
          exitCode: step.exitCode,
        },
      })),
    );
  }
}
