import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Which boot of its machine a host registered from: another one may be a copy of the machine. */
export class BootsOfHosts1700000000009 implements MigrationInterface {
  name = 'BootsOfHosts1700000000009';

  async up(q: QueryRunner): Promise<void> {
    await q.query('ALTER TABLE scheduler.hosts ADD COLUMN boot_id text');
  }

  async down(q: QueryRunner): Promise<void> {
    await q.query('ALTER TABLE scheduler.hosts DROP COLUMN boot_id');
  }
}
