import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startPostgres, type TestPostgres } from '#libs/testing';
import type { DataSource } from 'typeorm';
import { createDataSource } from './data-source.js';
import { isUniqueViolation } from './database-errors.js';
import { inTransaction, type Transaction } from './transaction.js';

describe('inTransaction', () => {
  let postgres: TestPostgres;
  let dataSource: DataSource;

  beforeAll(async () => {
    postgres = await startPostgres();
    const url = await postgres.createDatabase();
    dataSource = await createDataSource({ url, schema: 'public', applicationName: 'spec' }).initialize();
    await dataSource.query(
      'CREATE TABLE counters (name text CONSTRAINT counters_once PRIMARY KEY, value int)',
    );
  });
  afterAll(async () => {
    await dataSource.destroy();
    await postgres.stop();
  });

  const add = async (manager: Transaction, name: string) => {
    const [row] = await manager.query<{ value: number }[]>('SELECT value FROM counters WHERE name = $1', [
      name,
    ]);
    await manager.query('UPDATE counters SET value = $2 WHERE name = $1', [name, (row?.value ?? 0) + 1]);
  };

  it('runs again what the database gave up: no update is lost', async () => {
    await dataSource.query("INSERT INTO counters VALUES ('serial', 0)");
    const adding = Array.from(
      { length: 3 },
      async () =>
        await inTransaction(dataSource, async (manager) => await add(manager, 'serial'), {
          isolation: 'SERIALIZABLE',
        }),
    );
    await Promise.all(adding);
    expect(await dataSource.query("SELECT value FROM counters WHERE name = 'serial'")).toEqual([
      { value: 3 },
    ]);
  });

  it('gives up after five times', async () => {
    let runs = 0;
    const losing = inTransaction(dataSource, async (manager) => {
      runs += 1;
      await manager.query("DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '40001'; END $$");
    });
    await expect(losing).rejects.toThrow('lost');
    expect(runs).toBe(5);
  });

  it('does not repeat other failures, and leaves nothing of them', async () => {
    let runs = 0;
    const failing = inTransaction(dataSource, async (manager) => {
      runs += 1;
      await manager.query("INSERT INTO counters VALUES ('twice', 0)");
      await manager.query("INSERT INTO counters VALUES ('twice', 0)");
    });
    const error: unknown = await failing.catch((caught: unknown) => caught);
    expect([isUniqueViolation(error), isUniqueViolation(error, 'counters_once')]).toEqual([true, true]);
    expect(isUniqueViolation(error, 'another')).toBe(false);
    expect(runs).toBe(1);
    expect(await dataSource.query("SELECT 1 FROM counters WHERE name = 'twice'")).toEqual([]);
  });

  it('bounds every statement and every wait for a lock', async () => {
    const settings = "SELECT current_setting('statement_timeout') s, current_setting('lock_timeout') l";
    expect(await dataSource.query(settings)).toEqual([{ s: '30s', l: '10s' }]);
  });
});
