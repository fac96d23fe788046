import type { MigrationInterface, QueryRunner } from 'typeorm';

/** By who made an event, and by severity: the gravest are few, and are asked for most. */
export class QueryIndexes1700000000004 implements MigrationInterface {
  name = 'QueryIndexes1700000000004';

  async up(q: QueryRunner): Promise<void> {
    await q.query('CREATE INDEX events_by_source ON audit.events (source, time, id)');
    await q.query(
      `CREATE INDEX events_by_gravity ON audit.events (time, id) WHERE severity IN ('warning', 'critical')`,
    );
  }

  async down(q: QueryRunner): Promise<void> {
    await q.query('DROP INDEX audit.events_by_gravity, audit.events_by_source');
  }
}
