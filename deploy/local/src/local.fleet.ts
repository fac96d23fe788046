import { GatewayClient } from '#libs/client';
import { type Clock, SystemClock } from '#libs/clock';
import { ProblemError } from '#libs/contracts';
import { EmbeddedPostgres, readBootstrapRecord } from '#libs/testing';
import { rm } from 'node:fs/promises';
import type { StartArguments } from './arguments.js';
import { fleetKeys, type FleetKeys } from './fleet.keys.js';
import { writeFileAtomically } from './files.js';
import type { FleetPaths } from './fleet.paths.js';
import { ManagedProcess } from './managed.process.js';
import { writeNatsConfig } from './nats.config.js';
import { nodeEnvironment, nodeFlags } from './node.flags.js';
import { choosePorts, type Ports } from './ports.js';
import type { Progress } from './progress.js';
import {
  agentEnvironment,
  type Address,
  fleetName,
  joinTokenPath,
  runRoot,
  serviceEnvironment,
} from './service.environment.js';

const service_stop_ms = 15_000;
/** An agent stops its bots first: their grace, then the removal of the containers. */
const agent_stop_ms = 60_000;
const ready_ms_max = 90_000;
const poll_ms = 100;
const postgres_restart_delay_ms = 1000;
/** A part that ends this often while the fleet comes up will not stay up. */
const start_ends_max = 4;

/**
 * Everything `npm start` runs, in the order of its start; `stop` goes the other way. Agents stop before NATS and
 * Postgres do, so that no container outlives the fleet and what they report is stored.
 */
export class LocalFleet {
  private readonly clock: Clock = new SystemClock();
  private readonly services = new Map<string, ManagedProcess>();
  private postgres: EmbeddedPostgres | null = null;
  private postgresWatch: Promise<void> = Promise.resolve();
  private postgresRestart: Promise<void> = Promise.resolve();
  private readonly postgresStopping = new AbortController();
  private nats: ManagedProcess | null = null;

  private constructor(
    private readonly options: StartArguments,
    private readonly paths: FleetPaths,
    private readonly progress: Progress,
    private readonly keys: FleetKeys,
    private readonly ports: Ports,
    readonly hosts: readonly string[],
    /** The first is always `scheduler`. */
    readonly schedulers: readonly string[],
  ) {}

  static async prepare(options: StartArguments, paths: FleetPaths, progress: Progress): Promise<LocalFleet> {
    const hosts = Array.from({ length: options.hosts }, (_, n) => `host-${String.fromCharCode(97 + n)}`);
    const { gatewayPort: gateway, natsPort: nats, postgresPort: postgres } = options;
    const wanted = Object.fromEntries(
      Object.entries({ gateway, nats, postgres }).filter(([, port]) => port !== undefined),
    );
    const schedulers = Array.from({ length: options.schedulers }, (_, n) =>
      n === 0 ? 'scheduler' : `scheduler-${n + 1}`,
    );
    const keys = await fleetKeys(paths, hosts, schedulers);
    const ports = await choosePorts(paths.ports, wanted);
    return new LocalFleet(options, paths, progress, keys, ports, hosts, schedulers);
  }

  get name(): string {
    return fleetName(this.paths.state);
  }

  get gatewayUrl(): string {
    return `http://127.0.0.1:${this.ports.gateway}`;
  }

  get natsUrl(): string {
    return `nats://127.0.0.1:${this.ports.nats}`;
  }

  get gateway(): GatewayClient {
    return new GatewayClient({ url: this.gatewayUrl, token: this.keys.adminToken });
  }

  /** When it rejects (soon after the signal has aborted), nothing is being started any more: `stop` finds all of it. */
  async start(signal: AbortSignal): Promise<void> {
    await this.progress.step('NATS and Postgres', async (update) => {
      const starts = await Promise.allSettled([this.startNats(), this.startPostgres()]);
      for (const outcome of starts) if (outcome.status === 'rejected') throw outcome.reason;
      signal.throwIfAborted();
      update(`ports ${this.ports.nats}, ${this.ports.postgres}`);
    });
    await this.progress.step('scheduler and gateway', async (update) => {
      for (const scheduler of this.schedulers) await this.startService('scheduler', scheduler);
      await this.startService('gateway');
      await this.untilReady(['scheduler', 'gateway'], update, signal);
      update(this.gatewayUrl);
    });
    await this.progress.step('audit, secrets and agents', async (update) => {
      await this.startService('audit');
      await this.startService('secrets');
      await Promise.all(this.hosts.map(async (host) => this.invite(host)));
      for (const host of this.hosts) await this.startAgent(host);
      await this.untilReady(['audit', 'secrets'], update, signal);
      await this.untilHostsReady(update, signal);
      update(this.hosts.join(', '));
    });
  }

  /** Stops what runs; goes on when one part does not stop as it should, and throws at the end. */
  async stop(): Promise<void> {
    const faults: unknown[] = [];
    const step = async (what: string, work: () => Promise<unknown>) => {
      try {
        await this.progress.step(what, work);
      } catch (error) {
        faults.push(error);
      }
    };
    const stopAll = (names: readonly string[]) => async () =>
      Promise.all(names.map(async (name) => this.services.get(name)?.stop()));
    // The scheduler first: it would otherwise put back what the agents stop.
    await step('stop scheduler and gateway', stopAll([...this.schedulers, 'gateway']));
    await step('stop agents and their bots', stopAll(this.hosts.map((host) => `agent-${host}`)));
    // Agents leave their folders there; one that was killed leaves files, too.
    await step('remove run directories', () =>
      rm(runRoot(this.paths.state), { recursive: true, force: true }),
    );
    await step('stop audit and secrets', stopAll(['audit', 'secrets']));
    await step('stop NATS and Postgres', () => Promise.all([this.nats?.stop(), this.stopPostgres()]));
    if (faults.length > 0) throw new AggregateError(faults, 'Not everything stopped as it should');
  }

  private async startNats(): Promise<void> {
    const record = readBootstrapRecord();
    if (record?.natsServer == null)
      throw new Error('There is no nats-server; run npm start, which gets one.');
    const config = writeNatsConfig(this.paths, this.ports.nats, this.keys);
    this.nats = this.managed('nats', record.natsServer.path, ['-c', config], { PATH: process.env['PATH'] });
    await this.nats.start();
  }

  private async startPostgres(): Promise<void> {
    this.postgres = await EmbeddedPostgres.start({
      dataDir: this.paths.postgres,
      port: this.ports.postgres,
      password: this.keys.postgresPassword,
      persistent: true,
      logFile: this.paths.log('postgres'),
      settings: { shared_buffers: '64MB', max_wal_size: '256MB' },
    });
    await this.postgres.ensureDatabase('tradefleet');
    this.postgresWatch = this.watchPostgres(this.postgres);
  }

  /** Starts Postgres again when it dies, as a service manager would. */
  private async watchPostgres(postgres: EmbeddedPostgres): Promise<void> {
    const isStopping = () => this.postgresStopping.signal.aborted;
    while (!isStopping()) {
      const how = await postgres.exited;
      if (isStopping()) return;
      this.progress.line(
        `postgres ended (${how}); starting it again. Its log: ${this.paths.log('postgres')}`,
      );
      try {
        await this.clock.sleep(postgres_restart_delay_ms, this.postgresStopping.signal);
        this.postgresRestart = postgres.restart();
        await this.postgresRestart;
      } catch (error) {
        if (!isStopping())
          this.progress.line(`postgres could not be started: ${error instanceof Error ? error.message : ''}`);
      }
    }
  }

  private async stopPostgres(): Promise<void> {
    this.postgresStopping.abort();
    // One that is just being started could not be stopped; what became of it is told by the watch.
    await Promise.allSettled([this.postgresRestart]);
    await this.postgres?.stop();
    await this.postgresWatch;
  }

  private async startService(
    service: 'scheduler' | 'audit' | 'secrets' | 'gateway',
    name: string = service,
  ): Promise<void> {
    const environment = serviceEnvironment(service, this.address(), this.paths, this.keys, name);
    await this.startNode(name, service, environment, service_stop_ms);
  }

  /** Gets a host that is not known yet the token it joins with. */
  private async invite(host: string): Promise<void> {
    try {
      await this.gateway.call('hosts.get', { name: host });
    } catch (error) {
      if (!(error instanceof ProblemError) || error.code !== 'host_not_found') throw error;
      const { token } = await this.gateway.call('hosts.invite', { name: host });
      if (token === null) throw new Error(`The invitation of ${host} was answered without its token`);
      writeFileAtomically(joinTokenPath(this.paths, host), `${token}\n`);
    }
  }

  private async startAgent(host: string): Promise<void> {
    const environment = agentEnvironment(
      host,
      this.hosts.length,
      this.options.driver,
      this.address(),
      this.paths,
      this.keys,
      this.options.offer,
    );
    await this.startNode(`agent-${host}`, 'agent', environment, agent_stop_ms);
  }

  private async startNode(
    name: string,
    service: string,
    environment: NodeJS.ProcessEnv,
    stopGraceMs: number,
  ): Promise<void> {
    const args = [...nodeFlags(service), this.paths.service(service)];
    const env = { ...environment, ...nodeEnvironment };
    const process_ = this.managed(name, process.execPath, args, env, stopGraceMs);
    this.services.set(name, process_);
    await process_.start();
  }

  private managed(
    name: string,
    command: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv,
    stopGraceMs = service_stop_ms,
  ): ManagedProcess {
    return new ManagedProcess(
      {
        ...{ name, command, args, env, stopGraceMs },
        logFile: this.paths.log(name),
        onUnexpectedEnd: (sentence) => this.progress.line(sentence),
      },
      this.clock,
    );
  }

  private address(): Address {
    if (this.postgres === null) throw new Error('Postgres is not running');
    return {
      natsUrl: this.natsUrl,
      gatewayPort: this.ports.gateway,
      databaseUrl: this.postgres.url('tradefleet'),
      auditWriterUrl: this.postgres.url('tradefleet', 'audit_writer', this.keys.auditWriterPassword),
      auditReaderUrl: this.postgres.url('tradefleet', 'audit_reader', this.keys.auditReaderPassword),
      auditKeeperUrl: this.postgres.url('tradefleet', 'audit_keeper', this.keys.auditKeeperPassword),
    };
  }

  private async untilReady(
    parts: readonly string[],
    update: (detail: string) => void,
    signal: AbortSignal,
  ): Promise<void> {
    await this.until(
      signal,
      async () => {
        const components = await this.gateway.readiness();
        // What is degraded works, and says elsewhere what is wrong.
        const works = (part: string): boolean => ['ok', 'degraded'].includes(components[part] ?? '');
        const waiting = parts.filter((part) => part !== 'gateway' && !works(part));
        update(waiting.length === 0 ? '' : `waiting for ${waiting.join(', ')}`);
        return waiting.length === 0;
      },
      parts,
    );
  }

  private async untilHostsReady(update: (detail: string) => void, signal: AbortSignal): Promise<void> {
    await this.until(
      signal,
      async () => {
        const { hosts } = await this.gateway.call('hosts.list', {});
        const ready = hosts.filter((host) => this.hosts.includes(host.name) && host.state !== 'down');
        update(`${ready.length} of ${this.hosts.length} hosts registered`);
        return ready.length === this.hosts.length;
      },
      this.hosts.map((host) => `agent-${host}`),
    );
  }

  /** Polls within `ready_ms_max`; the error shows the ends of the logs of those it waited for. */
  private async until(
    signal: AbortSignal,
    condition: () => Promise<boolean>,
    waitedFor: readonly string[],
  ): Promise<void> {
    const deadline_ms = this.clock.monotonicMs() + ready_ms_max;
    for (;;) {
      let cause: unknown;
      try {
        if (await condition()) return;
      } catch (error) {
        cause = error; // not up yet; told below if it never comes up
      }
      const failing = waitedFor.some((name) => (this.services.get(name)?.ends ?? 0) >= start_ends_max);
      if (failing || this.clock.monotonicMs() > deadline_ms) {
        const logs = waitedFor.map((name) => `--- ${name}\n${this.services.get(name)?.logTail() ?? ''}`);
        const why = failing ? 'A part does not stay up.' : `Not ready after ${ready_ms_max / 1000} s.`;
        throw new Error(`${why} The ends of the logs:\n${logs.join('\n')}`, {
          cause,
        });
      }
      await this.clock.sleep(poll_ms, signal);
    }
  }
}
