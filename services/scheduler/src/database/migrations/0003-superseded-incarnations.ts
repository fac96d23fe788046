import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The incarnations of a host's agent that a later one has followed. Two agents with one key (a cloned machine) would
 * otherwise take turns as the same host; the older of them stays out for good.
 */
export class SupersededIncarnations1700000000003 implements MigrationInterface {
  name = 'SupersededIncarnations1700000000003';

  async up(q: QueryRunner): Promise<void> {
    await q.query(`
      CREATE TABLE scheduler.superseded_incarnations (
        host text NOT NULL REFERENCES scheduler.hosts (name) ON DELETE CASCADE,
        incarnation uuid NOT NULL,
        superseded_at timestamptz NOT NULL,
        PRIMARY KEY (host, incarnation)
      )`);
  }

  async down(q: QueryRunner): Promise<void> {
    await q.query('DROP TABLE scheduler.superseded_incarnations');
  }
}
