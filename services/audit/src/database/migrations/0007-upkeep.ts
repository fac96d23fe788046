import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What the service works with while it looks after its log. */
export class Upkeep1700000000007 implements MigrationInterface {
  name = 'Upkeep1700000000007';

  async up(q: QueryRunner): Promise<void> {
    await q.query(selfCheck);
  }

  async down(q: QueryRunner): Promise<void> {
    await q.query('DROP TABLE audit_work.damage, audit_work.self_check');
  }
}

const selfCheck = `
  -- The stretch of 256 records that is read again next: whoever holds the lock of this row reads it.
  CREATE TABLE audit_work.self_check (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    stretch bigint NOT NULL CHECK (stretch >= 0),
    -- Times that the whole log has been read.
    rounds bigint NOT NULL DEFAULT 0,
    round_ended_at timestamptz(3)
  );
  INSERT INTO audit_work.self_check (stretch) VALUES (0);

  -- What was found and is not mended yet.
  CREATE TABLE audit_work.damage (
    stretch bigint NOT NULL,
    what text NOT NULL,
    position bigint NOT NULL,
    records bigint NOT NULL,
    detail text NOT NULL,
    found_at timestamptz(3) NOT NULL,
    PRIMARY KEY (stretch, what)
  );
`;
