import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SystemClock } from '#libs/clock';
import type { StartCommand } from '#libs/contracts';
import { aStopCommand, startNats, type TestNats, uniqueName, waitFor } from '#libs/testing';
import type Docker from 'dockerode';
import type { AgentConfig } from '../../../services/agent/src/agent.config.js';
import { createDriver } from '../../../services/agent/src/host/driver.factory.js';
import { AgentFixture } from '../../../services/agent/src/testing/agent.fixture.js';
import { clearEngine } from './engine.clearing.js';

const run_ms_max = 180_000;
const look_ms = 5;

/**
 * The agent as it is: signed commands over a real nats-server, recorded in SQLite with full syncs, hooks, leases and
 * heartbeats, a sealed grant, run directories, events. Only scheduler and secrets service are stand-ins.
 */
export class AgentSide {
  private readonly fleet = uniqueName('fleet');

  private constructor(
    private readonly docker: Docker,
    private readonly nats: TestNats,
    private readonly fixture: AgentFixture,
    private readonly runRoot: string,
    private readonly resources: StartCommand['resources'],
  ) {}

  static async start(
    docker: Docker,
    config: Pick<AgentConfig, 'dockerSocket' | 'images'> & Partial<AgentConfig>,
    resources: StartCommand['resources'],
  ): Promise<AgentSide> {
    const nats = await startNats();
    const fixture = await AgentFixture.make(nats.url);
    const runRoot = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'tradefleet-bench-'));
    const side = new AgentSide(docker, nats, fixture, runRoot, resources);
    // As a scheduler with its defaults.
    fixture.scheduler.heartbeatIntervalMs = 3000;
    const settings: Partial<AgentConfig> = {
      ...{ driver: 'docker', fleet: side.fleet, runRoot, runRootAllowDisk: true, leaseMarginMs: 1500 },
      ...config,
    };
    const driver = await createDriver(fixture.config(settings), fixture.logger, new SystemClock());
    await fixture.start(settings, driver);
    return side;
  }

  /**
   * Milliseconds from the first command sent until the scheduler has heard of the last container that it was started.
   * The bots are ended and removed afterwards, which does not count.
   */
  async run(count: number): Promise<number> {
    const { fixture, resources } = this;
    const commands = Array.from({ length: count }, () =>
      fixture.command({ resources, stageTimeoutMs: 600_000, stopGraceMs: 5000 }),
    );
    const begin_ms = performance.now();
    await Promise.all(commands.map(async (command) => await fixture.scheduler.send(command)));
    const elapsed_ms = await this.until('starting', commands, begin_ms);
    for (const { account, allocation, epoch } of commands)
      await fixture.scheduler.send(
        aStopCommand({ ...{ host: fixture.host, account, allocation, epoch }, graceMs: 0 }),
      );
    await this.until('stopped', commands, begin_ms);
    await waitFor(async () => await this.isClear(), {
      timeoutMs: run_ms_max,
      what: 'the bots to be removed',
    });
    await clearEngine(this.docker, this.fleet);
    return elapsed_ms;
  }

  async close(): Promise<void> {
    await this.fixture.close();
    await this.nats.stop();
    await clearEngine(this.docker, this.fleet);
    await rm(this.runRoot, { recursive: true, force: true });
  }

  private async isClear(): Promise<boolean> {
    const filters = { label: [`io.tradefleet.fleet=${this.fleet}`] };
    const [containers, networks] = await Promise.all([
      this.docker.listContainers({ all: true, filters }),
      this.docker.listNetworks({ filters }),
    ]);
    return containers.length + networks.length === 0;
  }

  private async until(what: string, commands: readonly StartCommand[], begin_ms: number): Promise<number> {
    const waiting = new Set(commands.map(({ allocation }) => allocation));
    const { events, messaging } = this.fixture.scheduler;
    let read = 0;
    for (;;) {
      for (; read < events.length; read += 1) {
        const event = events[read];
        if (event?.what === what) waiting.delete(event.entityId);
        if (event?.what === 'failed') throw new Error(`A bot failed: ${JSON.stringify(event.data)}`);
      }
      if (waiting.size === 0) return performance.now() - begin_ms;
      if (performance.now() - begin_ms > run_ms_max)
        throw new Error(`${waiting.size} bots are not ${what} after ${run_ms_max} ms.`);
      await messaging.clock.sleep(look_ms);
    }
  }
}
