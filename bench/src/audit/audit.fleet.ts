import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { consumers, streams, subjects } from '#libs/contracts';
import { connectMessaging, type Messaging, provision, SigningKey } from '#libs/messaging';
import { createLogger } from '#libs/telemetry';
import {
  EmbeddedPostgres,
  freePort,
  repositoryRoot,
  ServerProcess,
  startNats,
  type TestNats,
  waitFor,
} from '#libs/testing';
import { type FleetKeys, fleetKeys, signingKeyPath } from '../../../deploy/local/src/fleet.keys.js';
import { FleetPaths } from '../../../deploy/local/src/fleet.paths.js';
import {
  natsPermissions,
  natsServerConfig,
  type NatsUser,
  natsUserName,
} from '../../../deploy/local/src/messaging.parts.js';
import { type Cost, costOf } from '../process.cost.js';
import { type Address, serviceEnvironment } from '../../../deploy/local/src/service.environment.js';

export interface AuditFleetOptions {
  /** Absolute; everything is kept there, and `stop` removes it. */
  readonly folder: string;
  /** Hosts that have a user of NATS. */
  readonly hosts: readonly string[];
  readonly postgres?: Readonly<Record<string, string>>;
  /** Settings of the audit service beyond those of a local fleet. */
  readonly audit?: NodeJS.ProcessEnv;
  /** Of Node, for every service. */
  readonly nodeFlags?: readonly string[];
}

export interface ServiceCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly logFile: string;
  readonly env: NodeJS.ProcessEnv;
}

type Service = 'audit' | 'gateway';
type Signer = 'scheduler' | 'secrets' | 'gateway' | 'audit';

const stop_ms_max = 30_000;
const ready_ms_max = 60_000;
const pause_ms = 300_000;
const database = 'tradefleet';
/** Who looks on: it may do everything, as no service may. */
const watcher = 'watcher';

/**
 * What the log of events is made of, as it runs in production but on one machine: nats-server with users and
 * permissions, Postgres with fsync, and the audit service as a process with the settings of a local fleet. Each can be
 * killed and started again. Whoever produces events is not part of it.
 */
export class AuditFleet {
  private readonly services = new Map<Service, ServerProcess>();
  private client: Messaging | null = null;

  private constructor(
    private readonly options: AuditFleetOptions,
    private readonly paths: FleetPaths,
    private readonly keys: FleetKeys,
    private readonly gatewayPort: number,
    readonly nats: TestNats,
    readonly postgres: EmbeddedPostgres,
  ) {}

  /** NATS with the streams of a fleet, an empty Postgres, and nothing that asks anything of them. */
  static async start(options: AuditFleetOptions): Promise<AuditFleet> {
    const paths = new FleetPaths(repositoryRoot(), options.folder);
    const keys = await fleetKeys(paths, options.hosts, ['scheduler']);
    const nats = await startNats({
      config: (chosen) => natsConfig(chosen, keys),
      probe: { user: watcher, pass: keys.adminToken },
    });
    const postgres = await EmbeddedPostgres.start({
      ...{ dataDir: paths.postgres, password: keys.postgresPassword, logFile: paths.log('postgres') },
      settings: { ...options.postgres },
    }).catch(async (error: unknown) => {
      await nats.stop();
      throw error;
    });
    const fleet = new AuditFleet(options, paths, keys, await freePort(), nats, postgres);
    await postgres.ensureDatabase(database);
    fleet.client = await fleet.connect(watcher, keys.adminToken);
    await fleet.provision();
    return fleet;
  }

  /** May publish and read everything. */
  get messaging(): Messaging {
    if (this.client === null) throw new Error('The servers have not been started.');
    return this.client;
  }

  /** As the owner of the database. */
  get databaseUrl(): string {
    return this.postgres.url(database);
  }

  /** How a stock client connects that may do everything. */
  get watcher(): { servers: string; user: string; pass: string } {
    return { servers: this.nats.url, user: watcher, pass: this.keys.adminToken };
  }

  get gatewayUrl(): string {
    return `http://127.0.0.1:${this.gatewayPort}`;
  }

  /** Makes the streams and the consumer unless they are there; in a fleet the scheduler does, when the broker is back. */
  async provision(): Promise<void> {
    await provision(this.messaging, { streams: Object.values(streams), consumers: [consumers.audit] });
  }

  /** The broker keeps events from the audit service, for five minutes at most. */
  async pauseIngestion(): Promise<void> {
    const { stream, durable } = consumers.audit;
    const { consumers: api } = await this.messaging.manager();
    await api.pause(stream, durable, new Date(Date.now() + pause_ms));
  }

  async resumeIngestion(): Promise<void> {
    const { stream, durable } = consumers.audit;
    await (await this.messaging.manager()).consumers.resume(stream, durable);
  }

  /** A file with the public half of the key that checkpoints are signed with. */
  async logKeyFile(): Promise<string> {
    const { publicJwk } = await SigningKey.fromFile(this.paths.key('audit-log.jwk'));
    const path = this.path('log-key.public.jwk');
    await writeFile(path, `${JSON.stringify(publicJwk)}\n`);
    return path;
  }

  /** As the role that records. */
  get auditWriterUrl(): string {
    return this.address().auditWriterUrl;
  }

  /** What opens the gateway. */
  get adminToken(): string {
    return this.keys.adminToken;
  }

  /** A file with it. */
  get tokenFile(): string {
    return this.paths.adminToken;
  }

  /** The key that a service signs its events with. */
  async signer(service: Signer): Promise<SigningKey> {
    return await SigningKey.fromFile(signingKeyPath(this.paths, service));
  }

  /** A connection with the rights of a service or of a host's agent; drain it. */
  async connectAs(user: NatsUser): Promise<Messaging> {
    const found = this.keys.natsUsers.find((one) => natsUserName(one.user) === natsUserName(user));
    if (found === undefined) throw new Error(`There is no NATS user ${natsUserName(user)}.`);
    return await this.connect(natsUserName(user), found.password);
  }

  /** Starts it with the settings of a local fleet, and waits until it answers. */
  async startService(name: Service): Promise<void> {
    const process_ = await ServerProcess.start({
      ...this.command(name),
      ...{ ownerPid: process.pid, ownerGoneSignal: 'SIGKILL' },
    });
    this.services.set(name, process_);
    // What has ended will not answer any more: its log says why.
    await waitFor(async () => this.pid(name) === null || (await this.isReady(name)), {
      ...{ timeoutMs: ready_ms_max, what: name },
    });
    if (this.pid(name) === null) throw new Error(`${name} did not come up. ${this.ended().join('\n')}`);
  }

  /** How a service is started, by whoever looks after its process. */
  command(name: Service): ServiceCommand {
    const own = name === 'audit' ? this.options.audit : {};
    const env = serviceEnvironment(name, this.address(), this.paths, this.keys);
    return {
      command: process.execPath,
      args: [
        '--disable-warning=ExperimentalWarning',
        ...(this.options.nodeFlags ?? []),
        this.paths.service(name),
      ],
      logFile: this.paths.log(name),
      env: { TRADEFLEET_LOG_LEVEL: 'warn', ...env, ...own },
    };
  }

  /** Whether it answers; throws when it does not. */
  async isReady(name: Service): Promise<boolean> {
    if (name === 'gateway') return (await fetch(`${this.gatewayUrl}/healthz`)).ok;
    await this.messaging.request(subjects.internal('audit', 'health'), {}, { timeoutMs: 1000 });
    return true;
  }

  /** Null while it does not run. */
  pid(name: Service): number | null {
    const found = this.services.get(name);
    return found?.end === null ? found.pid : null;
  }

  /** The services that ended although nobody asked them to, with the ends of their logs. */
  ended(): string[] {
    return [...this.services]
      .filter(([, process_]) => process_.end !== null)
      .map(([name, process_]) => `${name} ended (${process_.end ?? ''}): ${process_.logTail()}`);
  }

  /** Where the audit service writes what it has seen, outside the database. */
  get witness(): string {
    return this.paths.witness;
  }

  /** A file or folder of the run. */
  path(name: string): string {
    return join(this.paths.state, name);
  }

  /** CPU time and memory so far, by part. */
  costs(): ReadonlyMap<string, Cost> {
    const pids = new Map([
      ['audit', this.pid('audit')],
      ['gateway', this.pid('gateway')],
      ['postgres', this.postgres.pid],
      ['nats-server', this.nats.pid],
    ]);
    const costs = [...pids].map(([name, pid]) => [name, pid === null ? null : costOf(pid)] as const);
    return new Map(costs.flatMap(([name, cost]) => (cost === null ? [] : [[name, cost] as const])));
  }

  /** Ends everything; with `remove` (default) nothing of it stays. */
  async stop({ remove = true } = {}): Promise<void> {
    const steps = [
      ...[...this.services.values()]
        .reverse()
        .map((process_) => async () => await process_.stop('SIGTERM', stop_ms_max)),
      async () => await this.client?.drain(),
      async () => await this.nats.stop(),
      async () => await this.postgres.stop(),
      async () => {
        if (remove) await rm(this.paths.state, { recursive: true, force: true, maxRetries: 3 });
      },
    ];
    const faults: unknown[] = [];
    for (const step of steps) await step().catch((error: unknown) => faults.push(error));
    if (faults.length > 0) throw new AggregateError(faults, 'Not everything ended as it should.');
  }

  private async connect(user: string, password: string): Promise<Messaging> {
    return await connectMessaging({
      ...{ servers: this.nats.url, user, password, name: user },
      logger: createLogger({ service: 'audit-fleet', level: 'fatal' }),
    });
  }

  private address(): Address {
    const { postgres, keys } = this;
    return {
      natsUrl: this.nats.url,
      gatewayPort: this.gatewayPort,
      databaseUrl: this.databaseUrl,
      auditWriterUrl: postgres.url(database, 'audit_writer', keys.auditWriterPassword),
      auditReaderUrl: postgres.url(database, 'audit_reader', keys.auditReaderPassword),
      auditKeeperUrl: postgres.url(database, 'audit_keeper', keys.auditKeeperPassword),
    };
  }
}

function natsConfig(chosen: { port: number; storeDir: string }, keys: FleetKeys): string {
  const users = keys.natsUsers.map(({ user, password }) => ({
    ...{ user: natsUserName(user), password, permissions: natsPermissions(user) },
  }));
  const all = { publish: ['>'], subscribe: ['>'], allowResponses: false };
  return natsServerConfig({
    ...chosen,
    users: [...users, { user: watcher, password: keys.adminToken, permissions: all }],
  });
}
