import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Who led in which term and how many times it placed: what a host was told of that and is not here was lost by a restore.
 * The leader's row keeps the longest lease that may be outstanding, and where the epochs of new accounts begin.
 */
export class LineageOfTerms1700000000010 implements MigrationInterface {
  name = 'LineageOfTerms1700000000010';

  async up(q: QueryRunner): Promise<void> {
    await q.query(`
      CREATE TABLE scheduler.terms (
        term integer PRIMARY KEY CHECK (term >= 0),
        holder text NOT NULL,
        -- Grows in every transaction that gives out epochs.
        placements bigint NOT NULL DEFAULT 0
      );
      INSERT INTO scheduler.terms (term, holder) SELECT term, holder FROM scheduler.leadership;
      ALTER TABLE scheduler.leadership
        -- Terms up to here are accounted for, whatever hosts show of them: set when a restore was noticed.
        ADD COLUMN forgotten_term integer NOT NULL DEFAULT 0,
        -- Last epoch that may have been used of accounts that have no fence.
        ADD COLUMN epoch_floor integer NOT NULL DEFAULT 0,
        -- Longest lease that this leader or an earlier one may have given and that may not be over; 0: not known.
        ADD COLUMN lease_ttl_ms integer NOT NULL DEFAULT 0;
    `);
  }

  async down(q: QueryRunner): Promise<void> {
    await q.query(`
      ALTER TABLE scheduler.leadership
        DROP COLUMN lease_ttl_ms, DROP COLUMN epoch_floor, DROP COLUMN forgotten_term;
      DROP TABLE scheduler.terms;
    `);
  }
}
