import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Who wanted an allocation to end: a stop command that is sent again must name the same person as the first. */
export class WhoStopped1700000000002 implements MigrationInterface {
  name = 'WhoStopped1700000000002';

  async up(q: QueryRunner): Promise<void> {
    await q.query('ALTER TABLE scheduler.allocations ADD COLUMN stop_actor text');
  }

  async down(q: QueryRunner): Promise<void> {
    await q.query('ALTER TABLE scheduler.allocations DROP COLUMN stop_actor');
  }
}
