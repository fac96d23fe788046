import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Bots on their way from one host to another, and what a drain was asked for and has come to. A move never touches
 * I1: the new allocation is made by placement, which the index of one live allocation per account refuses while the
 * old one lives.
 */
export class Moves1700000000006 implements MigrationInterface {
  name = 'Moves1700000000006';

  async up(q: QueryRunner): Promise<void> {
    await q.query(`
      CREATE TABLE scheduler.moves (
        id uuid PRIMARY KEY,
        bot text NOT NULL,
        tenant text NOT NULL,
        account text NOT NULL REFERENCES scheduler.accounts (name),
        -- The allocation to leave and its epoch: a newer epoch of the account is the new one.
        allocation uuid NOT NULL,
        epoch integer NOT NULL,
        from_host text NOT NULL,
        to_host text NOT NULL,
        reason text NOT NULL CHECK (reason IN ('drain', 'rebalance')),
        operation uuid,
        requested_by text NOT NULL,
        state text NOT NULL CHECK (state IN
          ('planned', 'preparing', 'prepared', 'switching', 'done', 'cancelled', 'failed')),
        -- Whether the target is to prepare, until when it may, and whether it had before the old one was stopped.
        prepare boolean NOT NULL,
        prepare_by timestamptz,
        prepared boolean NOT NULL DEFAULT false,
        -- Held on the target while the move lives and the new allocation is not there.
        reserved_cpu_millis integer NOT NULL,
        reserved_memory_mib integer NOT NULL,
        -- Of a failed preparation; and why it was cancelled, failed or went on unprepared.
        failure text,
        detail text,
        gap_ms integer,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        switched_at timestamptz,
        CONSTRAINT moves_go_somewhere CHECK (state = 'done' OR from_host <> to_host)
      );
      CREATE UNIQUE INDEX moves_one_live_per_account ON scheduler.moves (account)
        WHERE state IN ('planned', 'preparing', 'prepared', 'switching');
      CREATE INDEX moves_by_allocation ON scheduler.moves (allocation);
      CREATE INDEX moves_by_operation ON scheduler.moves (operation, bot) WHERE operation IS NOT NULL;

      ALTER TABLE scheduler.hosts
        ADD COLUMN drain_deadline_at timestamptz,
        ADD COLUMN drain_on_deadline text NOT NULL DEFAULT 'keep' CHECK (drain_on_deadline IN ('keep', 'stop')),
        ADD COLUMN drain_prepare boolean NOT NULL DEFAULT true,
        ADD COLUMN drain_parallel integer NOT NULL DEFAULT 5 CHECK (drain_parallel > 0),
        ADD COLUMN drain_total integer NOT NULL DEFAULT 0,
        -- Set once, with the event that tells of it.
        ADD COLUMN drain_overdue_at timestamptz,
        ADD COLUMN drain_ended_at timestamptz;
    `);
  }

  async down(q: QueryRunner): Promise<void> {
    await q.query(`
      DROP TABLE scheduler.moves;
      ALTER TABLE scheduler.hosts DROP COLUMN drain_deadline_at, DROP COLUMN drain_on_deadline,
        DROP COLUMN drain_prepare, DROP COLUMN drain_parallel, DROP COLUMN drain_total,
        DROP COLUMN drain_overdue_at, DROP COLUMN drain_ended_at;
    `);
  }
}
