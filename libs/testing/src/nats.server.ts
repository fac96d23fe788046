import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type NatsConnection, type NodeConnectionOptions } from '@nats-io/transport-node';
import { readBootstrapRecord } from './bootstrap-record.js';
import { freePort } from './free-port.js';
import { ServerProcess } from './server-process.js';
import { waitFor } from './wait-for.js';

export interface NatsOptions {
  /**
   * Text for the server's configuration file, users and permissions for example. A function gets what was
   * chosen; the port needs not be named, and JetStream is configured here unless the text names a `store_dir`.
   */
  readonly config?: string | ((chosen: { port: number; storeDir: string }) => string);
  /** Credentials `startNats` looks for life with, when the configuration wants some. */
  readonly probe?: { readonly user: string; readonly pass: string };
}

/** A real nats-server with JetStream on 127.0.0.1, store and port its own. */
export class TestNats {
  private server: ServerProcess | null = null;
  private launches = 0;

  private constructor(
    private readonly options: NatsOptions,
    private readonly folder: string,
    readonly port: number,
  ) {}

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** JetStream's files, to be deleted by tests that lose the store. */
  get storeDir(): string {
    return join(this.folder, 'jetstream');
  }

  get pid(): number | null {
    return this.server?.pid ?? null;
  }

  static async start(options: NatsOptions = {}): Promise<TestNats> {
    for (let attempt = 1; ; attempt += 1) {
      const folder = await mkdtemp(join(tmpdir(), 'tradefleet-nats-'));
      const nats = new TestNats(options, folder, await freePort());
      try {
        await nats.launch();
        return nats;
      } catch (error) {
        await nats.stop();
        // Somebody may have taken the port since it was found free.
        if (attempt === 3) throw error;
      }
    }
  }

  /** A stock client with none of our code around it. Close what you open. */
  async connect(options: NodeConnectionOptions = {}): Promise<NatsConnection> {
    return await connect({ servers: this.url, timeout: 5000, ...options });
  }

  /** Ends the server and keeps port and store, as a power failure does. */
  async kill(): Promise<void> {
    await this.server?.kill();
    this.server = null;
  }

  /** Starts it again on the same port and store, after `kill` or while it runs. */
  async restart(): Promise<void> {
    await this.server?.stop('SIGTERM', 10_000);
    this.server = null;
    await this.launch();
  }

  /** Loses everything JetStream has stored, then starts again. */
  async restartEmpty(): Promise<void> {
    await this.kill();
    await rm(this.storeDir, { recursive: true, force: true });
    await this.launch();
  }

  /** Freezes it (SIGSTOP), as a partition does to those who wait for it. */
  pause(): void {
    this.server?.signal('SIGSTOP');
  }

  resume(): void {
    this.server?.signal('SIGCONT');
  }

  /** Ends the server and removes its files. */
  async stop(): Promise<void> {
    this.resume();
    await this.server?.stop('SIGTERM', 5000);
    this.server = null;
    await rm(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }

  private async launch(): Promise<void> {
    const { config } = this.options;
    const chosen = { port: this.port, storeDir: this.storeDir };
    const configFile = join(this.folder, 'nats.conf');
    const text = (typeof config === 'function' ? config(chosen) : config) ?? '';
    await writeFile(configFile, text, { mode: 0o600 });
    const server = await ServerProcess.start({
      command: await natsServerPath(),
      args: [
        ...['-a', '127.0.0.1', '-p', String(this.port), '-c', configFile],
        // A server takes its store from one place only.
        ...(text.includes('store_dir') ? [] : ['-js', '-sd', this.storeDir]),
      ],
      logFile: join(this.folder, `nats-${(this.launches += 1)}.log`),
      ownerPid: process.pid,
      ownerGoneSignal: 'SIGKILL',
      ownerGoneRemoves: this.folder,
    });
    this.server = server;
    await waitFor(() => this.answers(server), { timeoutMs: 20_000, what: 'nats-server to answer' }).catch(
      (error: unknown) => {
        throw new Error(`nats-server did not come up: ${server.logTail()}`, { cause: error });
      },
    );
    if (server.end !== null) throw new Error(`nats-server ended (${server.end}): ${server.logTail()}`);
  }

  /** JetStream may come up later than the port when it recovers a store; an unauthorised probe has to do with the port. */
  private async answers(server: ServerProcess): Promise<boolean> {
    if (server.end !== null) return true;
    if (this.options.config !== undefined && this.options.probe === undefined) {
      return server.logTail().includes('Server is ready');
    }
    const client = await connect({
      servers: this.url,
      timeout: 1000,
      reconnect: false,
      ...this.options.probe,
    });
    try {
      const answer = await client.request('$JS.API.INFO', '', { timeout: 1000 });
      return !answer.string().includes('"error"');
    } finally {
      await client.close();
    }
  }
}

/** Starts a nats-server of this test's own; `stop()` it in `afterAll`. */
export async function startNats(options: NatsOptions = {}): Promise<TestNats> {
  return await TestNats.start(options);
}

/** As the bootstrap found it, else on PATH, else in the user's cache. */
export async function natsServerPath(): Promise<string> {
  const recorded = readBootstrapRecord()?.natsServer?.path;
  if (recorded !== undefined && existsSync(recorded)) return recorded;
  for (const folder of (process.env['PATH'] ?? '').split(':')) {
    const path = join(folder, 'nats-server');
    if (folder !== '' && existsSync(path)) return path;
  }
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'tradefleet');
  const versions = await readdir(cache).catch(() => []);
  for (const version of versions
    .filter((name) => name.startsWith('nats-server-v'))
    .sort()
    .reverse()) {
    const path = join(cache, version, 'nats-server');
    if (existsSync(path)) return path;
  }
  throw new Error('No nats-server was found. Run `node tools/bootstrap.mjs --for test`.');
}

/** `2.15.2` of `nats-server: v2.15.2`. */
export async function natsServerVersion(): Promise<string> {
  const text = execFileSync(await natsServerPath(), ['--version'], { encoding: 'utf8', timeout: 10_000 });
  return text.replace(/^[^0-9]*/, '').trim();
}
