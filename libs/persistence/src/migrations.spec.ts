import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startPostgres, withClient, type TestPostgres } from '#libs/testing';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runMigrations } from './migrations.js';
import { outboxMigrations } from './outbox/outbox.migration.js';

class Second1700000000500 implements MigrationInterface {
  name = 'Second1700000000500';

  async up(q: QueryRunner): Promise<void> {
    await q.query('CREATE TABLE spec.second (id int)');
  }

  async down(q: QueryRunner): Promise<void> {
    await q.query('DROP TABLE spec.second');
  }
}

class Broken1700000000900 implements MigrationInterface {
  name = 'Broken1700000000900';

  async up(q: QueryRunner): Promise<void> {
    await q.query('CREATE TABLE spec.half (id int)');
    throw new Error('broken on purpose');
  }

  async down(): Promise<void> {
    throw new Error('never applied');
  }
}

describe('runMigrations', () => {
  let postgres: TestPostgres;
  beforeAll(async () => (postgres = await startPostgres()));
  afterAll(async () => await postgres.stop());

  const options = (url: string, ...more: (new () => MigrationInterface)[]) => ({
    url,
    schema: 'spec',
    migrations: [...outboxMigrations('spec'), ...more],
    applicationName: 'spec',
  });

  it('runs each migration once, in order, however many processes start at the same moment', async () => {
    const url = await postgres.createDatabase();
    const ran = await Promise.all(
      [1, 2, 3].map(async () => await runMigrations(options(url, Second1700000000500))),
    );
    expect(ran.filter((names) => names.length > 0)).toEqual([
      [
        'Outbox1700000000000',
        'OutboxLanes1700000000100',
        'OutboxKeptEvents1700000000200',
        'Second1700000000500',
      ],
    ]);
  });

  it('leaves nothing of a migration that fails, and keeps those before it', async () => {
    const url = await postgres.createDatabase();
    await expect(runMigrations(options(url, Broken1700000000900))).rejects.toThrow('broken on purpose');
    const tables = await withClient(url, async (client) => {
      const found = await client.query<{ t: string }>(
        "SELECT tablename t FROM pg_tables WHERE schemaname = 'spec'",
      );
      return found.rows.map((row) => row.t).sort();
    });
    expect(tables).toEqual(['migrations', 'outbox', 'outbox_producer']);
    await expect(runMigrations(options(url, Second1700000000500))).resolves.toEqual(['Second1700000000500']);
  });
});
