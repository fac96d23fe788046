import { GatewayClient } from '#libs/client';
import type { Clock } from '#libs/clock';
import { readBootstrapRecord, waitFor } from '#libs/testing';
import { fleetKeys, type FleetKeys } from '../../../deploy/local/src/fleet.keys.js';
import { nodeEnvironment, nodeFlags } from '../../../deploy/local/src/node.flags.js';
import { choosePorts, type Ports } from '../../../deploy/local/src/ports.js';
import type { Progress } from '../../../deploy/local/src/progress.js';
import {
  agentEnvironment,
  type Address,
  runRoot,
  serviceEnvironment,
} from '../../../deploy/local/src/service.environment.js';
import type { Network } from '../network/network.js';
import { agentLeaseEnvironment, schedulerLeaseEnvironment } from '../rules/lease.settings.js';
import { ChaosHost } from './chaos.host.js';
import { ChaosServers } from './chaos.servers.js';
import { command } from './command.js';
import { Part } from './part.js';
import type { RunPaths } from './run.paths.js';

export interface ChaosFleetOptions {
  readonly network: Network;
  readonly schedulers: number;
  /** T of the leases. */
  readonly ttl_ms: number;
  readonly paths: RunPaths;
  /** After an agent has ended and before it starts again. */
  readonly onAgentEnd: (host: string) => void;
}

type ServiceName = 'scheduler' | 'audit' | 'secrets' | 'gateway';

const service_stop_ms = 15_000;
const ready_ms_max = 120_000;
const start_ends_max = 4;
/** Every host could take all bots: that one is missing must not leave them without room. */
const host_cpu_millis = 8000;
const host_memory_mib = 4096;

/** Runs the servers, the services and the hosts, and gives each of them to be hit. */
export class ChaosFleet {
  readonly hosts: ChaosHost[] = [];
  readonly schedulers: Part[] = [];
  private readonly services = new Map<string, Part>();
  readonly servers: ChaosServers;

  private constructor(
    private readonly options: ChaosFleetOptions,
    private readonly keys: FleetKeys,
    private readonly ports: Ports,
    private readonly clock: Clock,
  ) {
    const { network, paths } = options;
    this.servers = new ChaosServers(network.address('control'), ports, paths, keys, clock);
  }

  static async prepare(options: ChaosFleetOptions, clock: Clock): Promise<ChaosFleet> {
    const schedulers = Array.from({ length: options.schedulers }, (_, n) => schedulerName(n));
    const keys = await fleetKeys(options.paths.fleet, options.network.hosts, schedulers);
    return new ChaosFleet(options, keys, await choosePorts(options.paths.fleet.ports, {}), clock);
  }

  /** Folders outside of the state that belong to a fleet of that state. */
  static folders(network: Network, paths: RunPaths): string[] {
    return [
      ...network.hosts.map((host) => engineRunFolder(network, host)),
      ...network.hosts.map((host) => paths.engine(host)),
      runRoot(paths.fleet.state),
    ];
  }

  get gateway(): GatewayClient {
    return new GatewayClient({
      url: `http://127.0.0.1:${this.ports.gateway}`,
      token: this.keys.adminToken,
      timeout_ms: 3000,
    });
  }

  get databaseUrl(): string {
    return this.servers.databaseUrl;
  }

  service(name: string): Part {
    const part = this.services.get(name);
    if (part === undefined) throw new Error(`${name} has not been started.`);
    return part;
  }

  host(name: string): ChaosHost {
    const host = this.hosts.find((one) => one.name === name);
    if (host === undefined) throw new Error(`There is no host ${name}.`);
    return host;
  }

  /** Every process that is started again when it ends. */
  get parts(): Part[] {
    const hosts = this.hosts.flatMap(({ agent, dockerd }) => [agent, dockerd]);
    return [...this.servers.parts, ...this.schedulers, ...this.services.values(), ...hosts];
  }

  /** @param afterScheduler when the database has its tables and nothing runs yet */
  async start(progress: Progress, stop: AbortSignal, afterScheduler: () => Promise<void>): Promise<void> {
    const { network, paths, schedulers } = this.options;
    await progress.step('network, NATS, Postgres', async () => {
      await network.create();
      await this.servers.start();
    });
    stop.throwIfAborted();
    await progress.step('engines and the image', async () => await this.startEngines());
    stop.throwIfAborted();
    await progress.step(`${schedulers} schedulers, gateway, audit, secrets`, async () => {
      await this.startService('scheduler', schedulerName(0));
      await this.startService('gateway');
      await this.untilReady(['scheduler']);
      for (let n = 1; n < schedulers; n += 1) await this.startService('scheduler', schedulerName(n));
      await this.startService('audit');
      await this.startService('secrets');
      await this.untilReady(['scheduler', 'audit', 'secrets']);
      await afterScheduler();
    });
    stop.throwIfAborted();
    await progress.step('agents', async () => {
      await Promise.all(this.hosts.map(async ({ agent }) => await agent.start()));
      await this.until(
        async () => (await this.readyHosts()) === this.hosts.length,
        `the agents to register (logs: ${paths.fleet.logs})`,
      );
    });
  }

  /** Ends all of it; what an engine still runs after its agent has gone is removed with the engine. */
  async stop(progress: Progress): Promise<void> {
    const faults: unknown[] = [];
    const step = async (what: string, work: () => Promise<unknown>) => {
      await progress.step(what, work).catch((error: unknown) => faults.push(error));
    };
    const all = async (parts: readonly Part[]) =>
      await Promise.all(parts.map(async (part) => await part.stop()));
    this.servers.signalPostgres('SIGCONT');
    await step(
      'stop schedulers and gateway',
      async () => await all([...this.schedulers, ...this.some(['gateway'])]),
    );
    await step('stop agents', async () => await all(this.hosts.map(({ agent }) => agent)));
    await step('stop engines', async () => await all(this.hosts.map(({ dockerd }) => dockerd)));
    await step('stop audit, secrets, NATS, Postgres', async () => {
      await all(this.some(['audit', 'secrets']));
      await this.servers.stop();
    });
    if (faults.length > 0) throw new AggregateError(faults, 'Not everything stopped as it should.');
  }

  private some(names: readonly string[]): Part[] {
    return names.flatMap((name) => this.services.get(name) ?? []);
  }

  private async readyHosts(): Promise<number> {
    const { hosts } = await this.gateway.call('hosts.list', {});
    return hosts.filter(({ state }) => state === 'ready').length;
  }

  private async startEngines(): Promise<void> {
    const { network, paths, onAgentEnd, ttl_ms } = this.options;
    const record = readBootstrapRecord();
    if (record?.docker == null || record.images?.paper == null)
      throw new Error('There is no image of the paper bot; run npm run chaos, which makes it.');
    const { socketPath } = record.docker;
    await command(
      'docker',
      ['-H', `unix://${socketPath}`, 'save', '-o', paths.images, record.images.paper.ref],
      120_000,
    );
    for (const [index, name] of network.hosts.entries()) {
      const environment = agentEnvironment(
        name,
        network.hosts.length,
        'docker',
        this.address,
        paths.fleet,
        this.keys,
      );
      const options = {
        ...{ name, network, onAgentEnd: () => onAgentEnd(name) },
        ...{ dataFolder: paths.engine(name), runFolder: engineRunFolder(network, name) },
        logFile: (part: string) => paths.fleet.log(part),
        // Both ways of engines to end are met: with the containers and without them.
        liveRestore: index % 2 === 0,
        agentEntry: paths.fleet.service('agent'),
        agentEnvironment: {
          ...environment,
          ...agentLeaseEnvironment,
          TRADEFLEET_EGRESS: 'paper',
          TRADEFLEET_CAPACITY_CPU_MILLIS: String(host_cpu_millis),
          TRADEFLEET_CAPACITY_MEMORY_MIB: String(host_memory_mib),
          TRADEFLEET_HEARTBEAT_TIMEOUT_MS: String(Math.min(2500, Math.round(ttl_ms / 2))),
        },
      };
      this.hosts.push(new ChaosHost(options, this.clock));
    }
    await Promise.all(this.hosts.map(async (host) => await host.startEngine(paths.images)));
  }

  private async startService(service: ServiceName, name: string = service): Promise<void> {
    const { paths, ttl_ms } = this.options;
    const environment = serviceEnvironment(service, this.address, paths.fleet, this.keys, name);
    const settings = { ...schedulerLeaseEnvironment(ttl_ms), TRADEFLEET_HOST_JOIN: 'open' };
    const part = this.part(name, process.execPath, [...nodeFlags(service), paths.fleet.service(service)], {
      ...environment,
      ...(service === 'scheduler' ? settings : {}),
      ...nodeEnvironment,
    });
    if (service === 'scheduler') this.schedulers.push(part);
    else this.services.set(name, part);
    await part.start();
  }

  private part(name: string, program: string, args: readonly string[], env: NodeJS.ProcessEnv): Part {
    const logFile = this.options.paths.fleet.log(name);
    return new Part({ name, command: program, args, env, logFile, stopGraceMs: service_stop_ms }, this.clock);
  }

  private get address(): Address {
    return { ...this.servers.address, gatewayPort: this.ports.gateway };
  }

  /** A part that ends again and again while everything comes up will not stay up. */
  private get failing(): Part | undefined {
    return this.parts.find(({ endsBySelf }) => endsBySelf >= start_ends_max);
  }

  private async untilReady(parts: readonly string[]): Promise<void> {
    await this.until(
      async () => {
        const components = await this.gateway.readiness();
        return parts.every((part) => components[part] === 'ok');
      },
      `${parts.join(', ')} to be ready (logs: ${this.options.paths.fleet.logs})`,
    );
  }

  /** Gives up at once when a part does not stay up. */
  private async until(condition: () => Promise<boolean>, what: string): Promise<void> {
    await waitFor(async () => this.failing !== undefined || (await condition()), {
      timeoutMs: ready_ms_max,
      what,
    });
    if (this.failing !== undefined)
      throw new Error(
        `${this.failing.name} does not stay up. The end of its log:\n${this.failing.logTail()}`,
      );
  }
}

/** The first is called as the service is, like in the local fleet. */
const schedulerName = (index: number): string => (index === 0 ? 'scheduler' : `scheduler-${index + 1}`);

export const engineRunFolder = (network: Network, host: string): string => `/run/${network.namespace(host)}`;
