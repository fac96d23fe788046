import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '#libs/clock';
import { waitFor } from '#libs/testing';
import { nodeEnvironment, nodeFlags } from '../../../deploy/local/src/node.flags.js';
import type { Network } from '../network/network.js';
import { command, succeeds } from './command.js';
import { Part } from './part.js';

export interface ChaosHostOptions {
  readonly name: string;
  readonly network: Network;
  /** Where the engine keeps images and containers. */
  readonly dataFolder: string;
  /** Where it keeps sockets and mounts; short, because a socket's path may have 107 bytes only. */
  readonly runFolder: string;
  readonly logFile: (part: string) => string;
  /** Whether containers outlive their engine. */
  readonly liveRestore: boolean;
  readonly agentEntry: string;
  readonly agentEnvironment: NodeJS.ProcessEnv;
  /** Called after every end of the agent, before it starts again. */
  readonly onAgentEnd: () => void;
}

const engine_ms_max = 60_000;
const load_ms_max = 120_000;
const agent_stop_ms = 45_000;
const engine_stop_ms = 30_000;

/** One host: a container engine of its own and an agent, both within the host's network. */
export class ChaosHost {
  readonly dockerd: Part;
  readonly agent: Part;
  readonly socketPath: string;

  constructor(
    private readonly options: ChaosHostOptions,
    clock: Clock,
  ) {
    const { name, network, runFolder, dataFolder, logFile, liveRestore } = options;
    mkdirSync(runFolder, { recursive: true, mode: 0o700 });
    mkdirSync(dataFolder, { recursive: true, mode: 0o700 });
    this.socketPath = join(runFolder, 'docker.sock');
    const [program = '', ...within] = network.within(name);
    this.dockerd = new Part(
      {
        ...{ name: `dockerd-${name}`, command: program, logFile: logFile(`dockerd-${name}`) },
        args: [
          ...within,
          'dockerd',
          ...['--data-root', dataFolder, '--exec-root', join(runFolder, 'exec')],
          ...['-H', `unix://${this.socketPath}`, '--pidfile', join(runFolder, 'pid')],
          // Bots have networks of their own.
          ...['--bridge', 'none', '--log-level', 'warn'],
          ...(liveRestore ? ['--live-restore'] : []),
        ],
        env: { PATH: process.env['PATH'], TZ: 'UTC' },
        stopGraceMs: engine_stop_ms,
      },
      clock,
    );
    this.agent = new Part(
      {
        ...{ name: `agent-${name}`, command: program, logFile: logFile(`agent-${name}`) },
        args: [...within, process.execPath, ...nodeFlags('agent'), options.agentEntry],
        env: { ...options.agentEnvironment, TRADEFLEET_DOCKER_SOCKET: this.socketPath, ...nodeEnvironment },
        stopGraceMs: agent_stop_ms,
        onEnd: options.onAgentEnd,
      },
      clock,
    );
  }

  get name(): string {
    return this.options.name;
  }

  /** Starts the engine and gives it the image. */
  async startEngine(imageFile: string): Promise<void> {
    await this.dockerd.start();
    await waitFor(async () => await this.answers(), {
      timeoutMs: engine_ms_max,
      what: `the engine of ${this.name} to answer (its log: ${this.dockerd.logFile})`,
    });
    await this.docker(['load', '--input', imageFile], load_ms_max);
  }

  async answers(): Promise<boolean> {
    return await succeeds('docker', ['-H', `unix://${this.socketPath}`, 'version'], 3000);
  }

  /** Runs the engine's client. */
  async docker(words: readonly string[], timeout_ms = 10_000): Promise<string> {
    return await command('docker', ['-H', `unix://${this.socketPath}`, ...words], timeout_ms);
  }
}
