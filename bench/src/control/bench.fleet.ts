import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  connectMessaging,
  type Messaging,
  natsPermissions,
  natsServerConfig,
  type NatsUser,
  natsUserName,
  SigningKey,
} from '#libs/messaging';
import type { PublicJwk } from '#libs/contracts';
import { createLogger } from '#libs/telemetry';
import {
  EmbeddedPostgres,
  repositoryRoot,
  ServerProcess,
  startNats,
  type TestNats,
  waitFor,
} from '#libs/testing';
import type { AgentHosts } from './agent.hosts.js';
import { type Cost, costOf } from '../process.cost.js';

export interface BenchFleetOptions {
  readonly hosts: number;
  readonly processes: number;
  readonly start_ms: number;
  readonly profile: string | undefined;
  /** What agents offer; default: all runtimes, and all bots run. */
  readonly runtimes?: AgentHosts['runtimes'];
  /** What simulated hosts take to prepare; default: no time. */
  readonly preparation?: AgentHosts['preparation'];
  /** Real containers, and a secrets service for their grants. */
  readonly docker?: AgentHosts['docker'];
}

const stop_ms_max = 30_000;
const ready_ms_max = 60_000;
const password = randomBytes(16).toString('hex');
/** Who measures: baselines need a stream of their own, everything else is what a client may do. */
const bench = { user: 'bench', pass: password };

/**
 * The servers and services a control plane is made of, as they run in production but on one machine: nats-server with
 * users and permissions, Postgres with fsync, scheduler and audit as processes, agents in a few processes.
 */
export class BenchFleet {
  private readonly folder = mkdtempSync(join(tmpdir(), 'tradefleet-bench-'));
  private readonly services = new Map<string, ServerProcess>();
  private nats: TestNats | null = null;
  private postgres: EmbeddedPostgres | null = null;
  private client: Messaging | null = null;
  private signingKey: SigningKey | null = null;
  private runRoot: string | null = null;

  constructor(private readonly options: BenchFleetOptions) {}

  get messaging(): Messaging {
    if (this.client === null) throw new Error('The servers have not been started.');
    return this.client;
  }

  databaseUrl(database: string): string {
    if (this.postgres === null) throw new Error('The servers have not been started.');
    return this.postgres.url(database);
  }

  /** NATS and Postgres, and nothing that asks anything of them. */
  async startServers(): Promise<void> {
    [this.nats, this.postgres] = await Promise.all([
      startNats({ config: (chosen) => this.natsConfig(chosen), probe: bench }),
      EmbeddedPostgres.start({
        dataDir: join(this.folder, 'postgres', 'data'),
        logFile: join(this.folder, 'postgres.log'),
        settings: { shared_buffers: '64MB', max_wal_size: '256MB' },
      }),
    ]);
    await Promise.all(['tradefleet', 'bench'].map(async (name) => await this.postgres?.ensureDatabase(name)));
    this.client = await connectMessaging({
      ...{ servers: this.nats.url, user: bench.user, password: bench.pass, name: 'bench' },
      logger: createLogger({ service: 'bench', level: 'error' }),
    });
  }

  async startServices(): Promise<void> {
    const keyPath = join(this.folder, 'scheduler-signing.jwk');
    this.signingKey = await SigningKey.fromFile(keyPath, { create: true });
    const databaseUrl = this.secretFile('database-url', this.databaseUrl('tradefleet'));
    const secretsKeyPath = join(this.folder, 'secrets-signing.jwk');
    const secretsKey = await SigningKey.fromFile(secretsKeyPath, { create: true });
    const auditKeyPath = join(this.folder, 'audit-signing.jwk');
    const { publicJwk: auditKey } = await SigningKey.fromFile(auditKeyPath, { create: true });
    const audit = (role: string) => this.postgres?.url('tradefleet', role, password) ?? '';
    await this.startService('scheduler', {
      TRADEFLEET_DATABASE_URL_FILE: databaseUrl,
      TRADEFLEET_SIGNING_KEY_PATH: keyPath,
      TRADEFLEET_AUDIT_PUBLIC_KEY: JSON.stringify(auditKey),
      TRADEFLEET_HOST_JOIN: 'open',
    });
    await this.untilAnswered('the scheduler');
    await this.startService('audit', {
      TRADEFLEET_DATABASE_URL_FILE: this.secretFile('audit-writer-url', audit('audit_writer')),
      TRADEFLEET_READER_DATABASE_URL_FILE: this.secretFile('audit-reader-url', audit('audit_reader')),
      TRADEFLEET_DATABASE_OWNER_URL_FILE: databaseUrl,
      TRADEFLEET_SIGNING_KEY_PATH: auditKeyPath,
      TRADEFLEET_AUDIT_MASTER_KEY_PATH: join(this.folder, 'audit-master-keys.json'),
      TRADEFLEET_TRUSTED_KEYS: JSON.stringify({
        '/scheduler': [this.signingKey.publicJwk],
        '/secrets': [secretsKey.publicJwk],
      }),
    });
    // Simulated bots ask for no grant.
    if (this.options.docker !== undefined) {
      await this.startService('secrets', {
        TRADEFLEET_DATABASE_URL_FILE: databaseUrl,
        TRADEFLEET_MASTER_KEY_PATH: join(this.folder, 'secrets-master-keys.json'),
        TRADEFLEET_SEALING_KEY_PATH: join(this.folder, 'secrets-sealing.jwk'),
        TRADEFLEET_SIGNING_KEY_PATH: secretsKeyPath,
        TRADEFLEET_SCHEDULER_PUBLIC_KEY: JSON.stringify(this.signingKey.publicJwk),
        TRADEFLEET_AUDIT_PUBLIC_KEY: JSON.stringify(auditKey),
      });
    }
    await this.startAgents(this.signingKey.publicJwk, auditKey);
  }

  /** CPU time and memory of every part, by name. */
  costs(): ReadonlyMap<string, Cost> {
    const pids = new Map<string, number | null>([
      ['nats-server', this.nats?.pid ?? null],
      ['postgres', this.postgres?.pid ?? null],
      ...[...this.services].map(([name, { pid }]) => [name, pid] as const),
    ]);
    const costs = [...pids].map(([name, pid]) => [name, pid === null ? null : costOf(pid)] as const);
    return new Map(costs.flatMap(([name, cost]) => (cost === null ? [] : [[name, cost] as const])));
  }

  /** The parts that ended although nobody asked them to, with the ends of their logs. */
  ended(): string[] {
    return [...this.services]
      .filter(([, process_]) => process_.end !== null)
      .map(([name, process_]) => `${name} ended (${process_.end ?? ''}): ${process_.logTail()}`);
  }

  /** Ends everything and removes its files, whatever has failed before. */
  async stop(): Promise<void> {
    const steps = [
      ...[...this.services].reverse().map(
        ([, p]) =>
          async () =>
            p.stop('SIGTERM', stop_ms_max),
      ),
      async () => await this.client?.drain(),
      async () => await this.nats?.stop(),
      async () => await this.postgres?.stop(),
      async () => await rm(this.folder, { recursive: true, force: true, maxRetries: 3 }),
      async () => {
        if (this.runRoot !== null) await rm(this.runRoot, { recursive: true, force: true });
      },
    ];
    const faults: unknown[] = [];
    for (const step of steps) {
      try {
        await step();
      } catch (error) {
        faults.push(error);
      }
    }
    if (faults.length > 0) throw new AggregateError(faults, 'Not everything ended as it should.');
  }

  /** Credentials go through run directories, and no agent takes one on a disk for real containers. */
  private tmpfs(): string {
    this.runRoot ??= mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'tradefleet-bench-'));
    return this.runRoot;
  }

  get hostNames(): string[] {
    return Array.from({ length: this.options.hosts }, (_, n) => `host-${String(n + 1).padStart(3, '0')}`);
  }

  private natsConfig(chosen: { port: number; storeDir: string }): string {
    const users: NatsUser[] = [
      'scheduler',
      'audit',
      'secrets',
      ...this.hostNames.map((agent) => ({ agent })),
    ];
    return natsServerConfig({
      ...chosen,
      // The baselines have a stream of their own beside those of the fleet.
      storeBytesMax: 8 * 1024 ** 3,
      users: [
        ...users.map((user) => ({
          ...{ user: natsUserName(user), password, permissions: natsPermissions(user) },
        })),
        {
          ...{ user: bench.user, password: bench.pass },
          permissions: { publish: ['>'], subscribe: ['>'], allowResponses: false },
        },
      ],
    });
  }

  private async startAgents(schedulerPublicKey: PublicJwk, auditPublicKey: PublicJwk): Promise<void> {
    const { processes, start_ms, docker, runtimes = { paper: 'runs', mt5: 'runs' } } = this.options;
    const { preparation = { image_ms: 0, volume_ms: 0 } } = this.options;
    const hosts = this.hostNames;
    const entry = join(import.meta.dirname, 'agent.hosts.js');
    for (let n = 0; n < Math.min(processes, hosts.length); n += 1) {
      const settings: AgentHosts = {
        natsUrl: this.nats?.url ?? '',
        schedulerPublicKey,
        auditPublicKey,
        folder: join(this.folder, 'hosts'),
        hosts: hosts
          .filter((_, index) => index % processes === n)
          .map((name) => ({ name, natsUser: natsUserName({ agent: name }), natsPassword: password })),
        runRoot: docker === undefined ? join(this.folder, 'run') : this.tmpfs(),
        start_ms,
        runtimes,
        preparation,
        docker,
      };
      const path = this.secretFile(`agents-${n + 1}.json`, JSON.stringify(settings));
      await this.startNode(`agents-${n + 1}`, [entry, path], {});
    }
    await waitFor(
      async () => {
        const page = await this.messaging.call('hosts.list', { limit: 500 });
        return page.hosts.filter(({ state }) => state === 'ready').length === hosts.length;
      },
      { timeoutMs: ready_ms_max, what: `${hosts.length} hosts to be ready` },
    ).catch((error: unknown) => {
      throw new Error(`The agents did not come up. ${this.ended().join('\n')}`, { cause: error });
    });
  }

  private async startService(name: 'scheduler' | 'audit' | 'secrets', env: NodeJS.ProcessEnv): Promise<void> {
    const entry = join(repositoryRoot(), 'dist', 'services', name, 'src', 'main.js');
    await this.startNode(name, [entry], {
      TRADEFLEET_NATS_URL: this.nats?.url,
      TRADEFLEET_NATS_USER: name,
      TRADEFLEET_NATS_PASSWORD_FILE: this.secretFile('nats-password', password),
      TRADEFLEET_LOG_LEVEL: 'warn',
      ...env,
    });
  }

  private async startNode(name: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
    const { profile } = this.options;
    if (profile !== undefined) mkdirSync(profile, { recursive: true });
    const profiling =
      profile === undefined
        ? []
        : ['--cpu-prof', `--cpu-prof-dir=${resolve(profile)}`, `--cpu-prof-name=${name}.cpuprofile`];
    const process_ = await ServerProcess.start({
      command: process.execPath,
      args: ['--disable-warning=ExperimentalWarning', ...profiling, ...args],
      logFile: join(this.folder, `${name}.log`),
      env: { PATH: process.env['PATH'], TZ: 'UTC', ...env },
      ownerPid: process.pid,
      ownerGoneSignal: 'SIGKILL',
    });
    this.services.set(name, process_);
  }

  private async untilAnswered(what: string): Promise<void> {
    await waitFor(async () => await this.messaging.call('tenants.list', {}), {
      timeoutMs: ready_ms_max,
      what,
    }).catch((error: unknown) => {
      throw new Error(`${what} did not come up. ${this.ended().join('\n')}`, { cause: error });
    });
  }

  private secretFile(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }
}
