import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { EmbeddedPostgres, withClient } from './postgres.server.js';
import { startPostgres } from './test-postgres.js';
import { waitFor } from './wait-for.js';

const select = async (url: string, query: string) =>
  await withClient(url, async (client) => (await client.query<Record<string, unknown>>(query)).rows);

describe('EmbeddedPostgres', () => {
  it('keeps a persistent data directory over kill, restart and a new start', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tradefleet-spec-'));
    const options = { dataDir: join(folder, 'data'), password: 'p/w', persistent: true };
    try {
      const first = await EmbeddedPostgres.start(options);
      const url = await first.ensureDatabase('kept');
      await select(url, 'CREATE TABLE t AS SELECT 1 AS a');
      await first.kill();
      await first.restart();
      expect(await select(url, 'SELECT a FROM t')).toEqual([{ a: 1 }]);
      await first.stop();
      const second = await EmbeddedPostgres.start(options);
      expect(await select(await second.ensureDatabase('kept'), 'SELECT a FROM t')).toEqual([{ a: 1 }]);
      await second.stop();
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('goes, with its files, when its owner is killed', async () => {
    const owner = spawn('sleep', ['600'], { stdio: 'ignore' });
    const postgres = await EmbeddedPostgres.start({ fsync: false, ownerPid: owner.pid ?? 0 });
    owner.kill('SIGKILL');
    await postgres.exited;
    await waitFor(() => !existsSync(postgres.dataDir), { what: 'the data directory to go' });
  });
});

describe('startPostgres', () => {
  it('gives every caller the same server and a database of its own', async () => {
    const [one, other] = await Promise.all([startPostgres(), startPostgres()]);
    expect(one.url).toBe(other.url);
    const [a, b] = await Promise.all([one.createDatabase(), other.createDatabase()]);
    await select(a, 'CREATE TABLE only_here (id int)');
    expect(await select(b, "SELECT 1 FROM pg_class WHERE relname = 'only_here'")).toEqual([]);
    await one.stop();
    await expect(select(a, 'SELECT 1')).rejects.toThrow('does not exist');
    expect(await select(b, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await other.stop();
  });
});
