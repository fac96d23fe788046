import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { runMigrations } from '#libs/persistence';
import { startPostgres, type TestPostgres } from '#libs/testing';
import { DataSource } from 'typeorm';
import { JoiningAndQuotas1700000000008 } from './0008-joining-and-quotas.js';
import { migrations, schedulerSchema } from './index.js';

describe('the migration to joining and quotas', () => {
  let postgres: TestPostgres;
  let database: DataSource;
  beforeAll(async () => {
    postgres = await startPostgres();
    const url = await postgres.createDatabase();
    const before = migrations.filter((migration) => migration !== JoiningAndQuotas1700000000008);
    const options = { url, schema: schedulerSchema, applicationName: 'test' };
    await runMigrations({ ...options, migrations: before });
    database = await new DataSource({ type: 'postgres', url }).initialize();
    await database.query(`
      INSERT INTO scheduler.tenants (name, display_name, created_by) VALUES ('t', 'T', 'user:test');
      INSERT INTO scheduler.accounts (name, tenant, server, login, created_by) VALUES ('a', 't', 'S', 1, 'user:test');
      INSERT INTO scheduler.bots (name, tenant, account, runtime, parameters, resources, constraints, policies, desired,
          created_by, changed_by)
        VALUES ('b', 't', 'a', 'paper', '{}', '{}', '[]', '{"antiAffinity": "none"}', 'running', 'user:test', 'user:test');
      INSERT INTO scheduler.hosts (name, state, driver, runtimes, labels, cpu_millis, memory_mib, bots_max,
          agent_version, incarnation, signing_key, sealing_key)
        VALUES ('h', 'ready', 'docker', '{paper}', '{}', 1, 1, 1, '1', gen_random_uuid(), '{}', '{}');
      INSERT INTO scheduler.allocations (id, bot, account, tenant, host, epoch, bot_generation, reserved_cpu_millis,
          reserved_memory_mib, state) VALUES (gen_random_uuid(), 'b', 'a', 't', 'h', 1, 1, 1, 1, 'running')`);
    await runMigrations({ ...options, migrations });
  });
  afterAll(async () => {
    await database.destroy();
    await postgres.stop();
  });

  it('gives what is there the middle priority and no quotas, there and back again', async () => {
    const migration = new JoiningAndQuotas1700000000008();
    const runner = database.createQueryRunner();
    const policies = async () => await database.query<unknown[]>('SELECT policies FROM scheduler.bots');
    const tenants = async () =>
      await database.query<unknown[]>('SELECT quota_bots, priority FROM scheduler.tenants');
    const now = [{ policies: expect.objectContaining({ antiAffinity: 'none', priority: 50 }) }];
    try {
      expect(await policies()).toEqual(now);
      expect(await tenants()).toEqual([{ quota_bots: null, priority: 50 }]);
      await migration.down(runner);
      expect(await policies()).toEqual([{ policies: expect.not.objectContaining({ priority: 50 }) }]);
      await migration.up(runner);
      expect(await policies()).toEqual(now);
      // A host can be removed, what ran there stays known.
      await database.query('DELETE FROM scheduler.hosts');
      expect(await database.query('SELECT host FROM scheduler.allocations')).toEqual([{ host: 'h' }]);
      // The way back is open even so.
      await migration.down(runner);
      await migration.up(runner);
    } finally {
      await runner.release();
    }
  });
});
