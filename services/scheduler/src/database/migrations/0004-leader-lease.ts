import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The leader's lease: the row of the leader counts renewals. The term becomes a key, so that a change of it, and nothing
 * else, waits for the transactions that hold the row `FOR KEY SHARE`. Allocations keep how long their leases last.
 */
export class LeaderLease1700000000004 implements MigrationInterface {
  name = 'LeaderLease1700000000004';

  async up(q: QueryRunner): Promise<void> {
    await q.query(`
      ALTER TABLE scheduler.leadership
        -- Grows with every renewal of a term: a row that stands still is of a leader that does not renew.
        ADD COLUMN renewal bigint NOT NULL DEFAULT 0,
        -- By the clock of the database; for people.
        ADD COLUMN renewed_at timestamptz NOT NULL DEFAULT now(),
        -- An older state of the database has come back: the next leader places nothing before a whole lease is over.
        ADD COLUMN restored boolean NOT NULL DEFAULT false,
        ADD CONSTRAINT leadership_term_is_key UNIQUE (term);
      -- Null: as long as those of the fleet.
      ALTER TABLE scheduler.allocations ADD COLUMN lease_ttl_ms integer CHECK (lease_ttl_ms > 0);
    `);
  }

  async down(q: QueryRunner): Promise<void> {
    await q.query(`
      ALTER TABLE scheduler.allocations DROP COLUMN lease_ttl_ms;
      ALTER TABLE scheduler.leadership
        DROP CONSTRAINT leadership_term_is_key, DROP COLUMN restored, DROP COLUMN renewed_at, DROP COLUMN renewal;
    `);
  }
}
