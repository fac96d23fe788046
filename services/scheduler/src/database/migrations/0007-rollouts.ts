import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Versions of bots, and rollouts: one change to many bots, a few at a time. */
export class Rollouts1700000000007 implements MigrationInterface {
  name = 'Rollouts1700000000007';

  async up(q: QueryRunner): Promise<void> {
    await q.query(`
      -- Which of the runtime's images; null for the default of the host.
      ALTER TABLE scheduler.bots ADD COLUMN version text;

      ALTER TABLE scheduler.operation_targets
        DROP CONSTRAINT operation_targets_goal_check,
        ADD CONSTRAINT operation_targets_goal_check
          CHECK (goal IN ('running', 'stopped', 'deleted', 'moved', 'rolled-out'));

      CREATE TABLE scheduler.rollouts (
        id uuid PRIMARY KEY,
        operation uuid NOT NULL,
        state text NOT NULL CHECK (state IN
          ('running', 'paused', 'reverting', 'succeeded', 'reverted', 'aborted', 'failed')),
        -- Why it was paused, is being reverted, failed or was aborted.
        reason text,
        change jsonb NOT NULL,
        options jsonb NOT NULL,
        requested_by text NOT NULL,
        traceparent text,
        -- Who asked last: for the events of what follows.
        changed_by text NOT NULL,
        -- The batch under way: 0 are canaries; null before the first.
        batch integer,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        ended_at timestamptz
      );
      CREATE INDEX rollouts_active ON scheduler.rollouts (id) WHERE ended_at IS NULL;

      CREATE TABLE scheduler.rollout_targets (
        rollout uuid NOT NULL REFERENCES scheduler.rollouts (id) ON DELETE CASCADE,
        bot text NOT NULL,
        position integer NOT NULL,
        -- Which life of a bot of this name, and the generation that was planned with.
        bot_created_at timestamptz NOT NULL,
        generation integer NOT NULL,
        -- The definition it had, for the way back.
        before jsonb NOT NULL,
        -- While true, no other rollout may have the bot.
        active boolean NOT NULL DEFAULT true,
        state text NOT NULL DEFAULT 'waiting' CHECK (state IN
          ('waiting', 'changing', 'healthy', 'failed', 'skipped', 'reverting', 'reverted')),
        reason text,
        batch integer,
        -- The generation the rollout gave it, and the one of its way back.
        changed_generation integer,
        reverted_generation integer,
        -- When it was changed or changed back, or the rollout was resumed: from here the progress deadline counts.
        since timestamptz,
        -- What was ready, and since when without a break.
        healthy_allocation uuid,
        healthy_attempt integer,
        healthy_since timestamptz,
        updated_at timestamptz NOT NULL,
        PRIMARY KEY (rollout, bot)
      );
      CREATE UNIQUE INDEX rollout_targets_one_rollout_per_bot ON scheduler.rollout_targets (bot) WHERE active;
      CREATE INDEX rollout_targets_in_order ON scheduler.rollout_targets (rollout, position);
    `);
  }

  async down(q: QueryRunner): Promise<void> {
    await q.query('DROP TABLE scheduler.rollout_targets');
    await q.query('DROP TABLE scheduler.rollouts');
    await q.query(`
      DELETE FROM scheduler.operation_targets WHERE goal = 'rolled-out';
      ALTER TABLE scheduler.operation_targets
        DROP CONSTRAINT operation_targets_goal_check,
        ADD CONSTRAINT operation_targets_goal_check CHECK (goal IN ('running', 'stopped', 'deleted', 'moved'));
      ALTER TABLE scheduler.bots DROP COLUMN version;
    `);
  }
}
