import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { EmbeddedPostgres, withClient } from './postgres.server.js';
import { uniqueName } from './unique-name.js';
import { waitFor } from './wait-for.js';

/** Handle of one spec on the Postgres that all specs of a run share. */
export class TestPostgres {
  private readonly databases: string[] = [];

  constructor(
    /** URL of the maintenance database, as the superuser. */
    readonly url: string,
  ) {}

  /** A fresh, empty database; returns its URL. Dropped by `stop`. */
  async createDatabase(): Promise<string> {
    const name = uniqueName('db').replaceAll('-', '_');
    await withClient(this.url, async (client) => await client.query(`CREATE DATABASE ${name}`));
    this.databases.push(name);
    const url = new URL(this.url);
    url.pathname = `/${name}`;
    return url.toString();
  }

  /** Drops what this handle made, whoever is still connected. The server goes when the run ends. */
  async stop(): Promise<void> {
    await withClient(this.url, async (client) => {
      for (const name of this.databases.splice(0)) {
        await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      }
    });
  }
}

const SharedServer = z.union([z.strictObject({ url: z.string() }), z.strictObject({ failure: z.string() })]);

/**
 * The Postgres of this test run. The first spec that wants it starts it; all workers of one Jest share it; it is ended
 * and removed when Jest is gone, by whatever way. For tests that kill or restart the server start an
 * `EmbeddedPostgres` of your own.
 */
export async function startPostgres(): Promise<TestPostgres> {
  const owner = runPid();
  const folder = join(tmpdir(), `tradefleet-test-postgres-${owner}-${processStart(owner)}`);
  const record = join(folder, 'server.json');
  if (await isMine(folder)) await startShared(folder, record, owner);
  await waitFor(() => existsSync(record), { timeoutMs: 90_000, what: 'the Postgres another worker starts' });
  const server = SharedServer.parse(JSON.parse(readFileSync(record, 'utf8')));
  if ('failure' in server) throw new Error(`The shared Postgres did not start: ${server.failure}`);
  return new TestPostgres(server.url);
}

/** A folder whose start failed stays for the run's other workers to read why; later runs clear it away. */
async function removeFailedStarts(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const [, pid, start] = /^tradefleet-test-postgres-(\d+)-(\d+)$/.exec(name) ?? [];
    if (pid === undefined || processStart(Number(pid)) === start) continue;
    const folder = join(tmpdir(), name);
    if (!existsSync(join(folder, 'data'))) await rm(folder, { recursive: true, force: true });
  }
}

async function startShared(folder: string, record: string, ownerPid: number): Promise<void> {
  await removeFailedStarts();
  let content: z.infer<typeof SharedServer>;
  try {
    const postgres = await EmbeddedPostgres.start({
      dataDir: join(folder, 'data'),
      logFile: join(folder, 'postgres.log'),
      removes: folder,
      fsync: false,
      connectionsMax: 400,
      ownerPid,
    });
    content = { url: postgres.url() };
  } catch (error) {
    content = { failure: error instanceof Error ? error.message : String(error) };
    await mkdir(folder, { recursive: true, mode: 0o700 });
  }
  await writeFile(`${record}.new`, JSON.stringify(content), { mode: 0o600 });
  await rename(`${record}.new`, record);
}

/** Making the folder is the lock: one caller of a run gets to make it. */
async function isMine(folder: string): Promise<boolean> {
  try {
    await mkdir(folder, { mode: 0o700 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** The process whose end is the end of the run: Jest itself, which is the parent when this is one of its workers. */
function runPid(): number {
  const isWorker = process.argv.some((word) => word.includes('jest-worker'));
  return isWorker ? process.ppid : process.pid;
}

/** Start time of a process, so that a later one with the same pid is another; 0 where the system does not tell. */
function processStart(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Field 22 of proc(5); the second, the name, may hold anything but ends with the last parenthesis.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '0';
  } catch {
    return '0';
  }
}
