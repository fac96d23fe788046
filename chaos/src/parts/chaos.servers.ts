import { join } from 'node:path';
import type { Clock } from '#libs/clock';
import { EmbeddedPostgres, readBootstrapRecord } from '#libs/testing';
import type { FleetKeys } from '../../../deploy/local/src/fleet.keys.js';
import { writeFileAtomically } from '../../../deploy/local/src/files.js';
import {
  natsPermissions,
  natsServerConfig,
  natsUserName,
} from '../../../deploy/local/src/messaging.parts.js';
import type { Ports } from '../../../deploy/local/src/ports.js';
import type { Address } from '../../../deploy/local/src/service.environment.js';
import { Part } from './part.js';
import { signal, treeOf } from './processes.js';
import type { RunPaths } from './run.paths.js';

const stop_ms_max = 15_000;

/** NATS, at an address that hosts reach, and Postgres, for services alone. */
export class ChaosServers {
  private nats_: Part | null = null;
  private postgres_: EmbeddedPostgres | null = null;

  constructor(
    private readonly natsHost: string,
    private readonly ports: Ports,
    private readonly paths: RunPaths,
    private readonly keys: FleetKeys,
    private readonly clock: Clock,
  ) {}

  get postgres(): EmbeddedPostgres {
    if (this.postgres_ === null) throw new Error('Postgres has not been started.');
    return this.postgres_;
  }

  get nats(): Part {
    if (this.nats_ === null) throw new Error('NATS has not been started.');
    return this.nats_;
  }

  /** What there is of parts. */
  get parts(): Part[] {
    return this.nats_ === null ? [] : [this.nats_];
  }

  get natsUrl(): string {
    return `nats://${this.natsHost}:${this.ports.nats}`;
  }

  get databaseUrl(): string {
    return this.postgres.url('tradefleet');
  }

  get address(): Omit<Address, 'gatewayPort'> {
    const { auditWriterPassword, auditReaderPassword, auditKeeperPassword } = this.keys;
    const audit = (role: string, password: string) => this.postgres.url('tradefleet', role, password);
    return {
      ...{ natsUrl: this.natsUrl, databaseUrl: this.databaseUrl },
      auditWriterUrl: audit('audit_writer', auditWriterPassword),
      auditReaderUrl: audit('audit_reader', auditReaderPassword),
      auditKeeperUrl: audit('audit_keeper', auditKeeperPassword),
    };
  }

  async start(): Promise<void> {
    await this.startNats();
    const { fleet } = this.paths;
    this.postgres_ = await EmbeddedPostgres.start({
      ...{ dataDir: fleet.postgres, port: this.ports.postgres, password: this.keys.postgresPassword },
      ...{ persistent: true, logFile: fleet.log('postgres') },
      settings: { shared_buffers: '64MB', max_wal_size: '256MB' },
    });
    await this.postgres_.ensureDatabase('tradefleet');
  }

  /** SIGSTOP or SIGCONT of the server and of all its sessions. */
  signalPostgres(name: 'SIGSTOP' | 'SIGCONT'): void {
    const pid = this.postgres_?.pid ?? null;
    if (pid !== null) for (const one of treeOf(pid)) signal(one, name);
  }

  async stop(): Promise<void> {
    this.signalPostgres('SIGCONT');
    await Promise.all([this.nats_?.stop(), this.postgres_?.stop()]);
  }

  private async startNats(): Promise<void> {
    const server = readBootstrapRecord()?.natsServer;
    if (server == null) throw new Error('There is no nats-server; run npm run chaos, which gets one.');
    const users = this.keys.natsUsers.map(({ user, password }) => ({
      ...{ user: natsUserName(user), password, permissions: natsPermissions(user) },
    }));
    const path = join(this.paths.fleet.state, 'nats.conf');
    const config = { host: this.natsHost, port: this.ports.nats, storeDir: this.paths.fleet.nats, users };
    writeFileAtomically(path, natsServerConfig(config));
    this.nats_ = new Part(
      {
        ...{ name: 'nats', command: server.path, args: ['-c', path], env: { PATH: process.env['PATH'] } },
        ...{ logFile: this.paths.fleet.log('nats'), stopGraceMs: stop_ms_max },
      },
      this.clock,
    );
    await this.nats_.start();
  }
}
