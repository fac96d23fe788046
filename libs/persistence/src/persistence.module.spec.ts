import { afterEach, describe, expect, it } from '@jest/globals';
import { Test, type TestingModule } from '@nestjs/testing';
import { EmbeddedPostgres, freePort } from '#libs/testing';
import { DataSource } from 'typeorm';
import { PersistenceModule } from './persistence.module.js';
import { TransactionRunner } from './transaction.js';

describe('PersistenceModule', () => {
  let postgres: EmbeddedPostgres | undefined;
  afterEach(async () => await postgres?.stop());

  const compile = async (url: string): Promise<TestingModule> =>
    await Test.createTestingModule({
      imports: [
        PersistenceModule.forRootAsync({
          useFactory: () => ({ url, schema: 'spec', applicationName: 'spec' }),
        }),
      ],
    }).compile();

  it('waits for a database that is coming up, and closes its pool at the end of a shutdown', async () => {
    const port = await freePort();
    const compiling = compile(`postgres://postgres:p@127.0.0.1:${port}/postgres`);
    postgres = await EmbeddedPostgres.start({ port, password: 'p', fsync: false });
    const module = await compiling;
    const one = await module
      .get(TransactionRunner)
      .run(async (manager) => await manager.query<unknown[]>('SELECT 1 AS one'));
    expect(one).toEqual([{ one: 1 }]);
    await module.close();
    expect(module.get(DataSource).isInitialized).toBe(false);
  });

  it('fails at once for what waiting does not mend', async () => {
    postgres = await EmbeddedPostgres.start({ fsync: false });
    await expect(compile(postgres.url('postgres', 'postgres', 'wrong'))).rejects.toMatchObject({
      code: '28P01',
    });
    await expect(compile(postgres.url('absent'))).rejects.toMatchObject({ code: '3D000' });
  });
});
