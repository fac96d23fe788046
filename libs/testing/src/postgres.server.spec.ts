import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import pg from 'pg';
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

  it('starts again once the processes that a killed server has left behind are gone', async () => {
    const postgres = await EmbeddedPostgres.start({ fsync: false });
    const log = `${postgres.dataDir}.log`;
    const client = new pg.Client({ connectionString: postgres.url() });
    client.on('error', () => undefined);
    let left: number | null = null;
    try {
      await client.connect();
      const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      const pid = rows[0]?.pid ?? 0;
      process.kill(pid, 'SIGSTOP');
      left = pid;
      await postgres.kill();
      const restarted = postgres.restart();
      await waitFor(async () => (await readFile(log, 'utf8')).includes('shared memory block'), {
        what: 'a start beside what is left',
      });
      process.kill(pid, 'SIGCONT');
      left = null;
      await restarted;
      expect(await select(postgres.url(), 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    } finally {
      if (left !== null) process.kill(left, 'SIGKILL');
      await client.end().catch(() => undefined);
      await postgres.stop();
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
