import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Attempts of a bot in place, and the failures by which it is placed again or given up. Bots that are there get the
 * policies that a new one gets; written out, because what is a default today may be another one later.
 */
export class Attempts1700000000005 implements MigrationInterface {
  name = 'Attempts1700000000005';

  async up(q: QueryRunner): Promise<void> {
    await q.query(`
      -- last_exit: how the attempt before ended, as the API shows it.
      ALTER TABLE scheduler.allocations
        ADD COLUMN attempt integer NOT NULL DEFAULT 1 CHECK (attempt > 0),
        ADD COLUMN last_exit jsonb;
      -- recent_failures: [{at: milliseconds since 1970, host, reason}], the oldest first, bounded by who writes it.
      ALTER TABLE scheduler.bots
        ADD COLUMN recent_failures jsonb NOT NULL DEFAULT '[]',
        ADD COLUMN gave_up_at timestamptz;
      UPDATE scheduler.bots SET policies = '{
        "unhealthyAfterMs": 300000,
        "restart": {"attempts": 3, "windowMs": 600000, "delayMs": 1000, "backoff": "exponential",
                    "delayMaxMs": 60000, "jitter": 0.2},
        "reschedule": {"attempts": null, "windowMs": 3600000, "delayMs": 5000, "delayMaxMs": 300000, "jitter": 0.2}
      }'::jsonb || policies`);
  }

  async down(q: QueryRunner): Promise<void> {
    await q.query(`
      ALTER TABLE scheduler.allocations DROP COLUMN attempt, DROP COLUMN last_exit;
      ALTER TABLE scheduler.bots DROP COLUMN recent_failures, DROP COLUMN gave_up_at;
      UPDATE scheduler.bots SET policies = policies - 'unhealthyAfterMs' - 'restart' - 'reschedule'`);
  }
}
