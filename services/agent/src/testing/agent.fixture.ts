import type { INestApplicationContext, Type } from '@nestjs/common';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newId, type StartCommand } from '#libs/contracts';
import { createLogger, type Logger } from '#libs/telemetry';
import { aStartCommand, SkippingClock, uniqueName, waitFor } from '#libs/testing';
import { HousekeepingService } from '../adoption/housekeeping.service.js';
import { AgentConfig } from '../agent.config.js';
import { AgentLifecycle } from '../agent.lifecycle.js';
import { makeAgent } from '../agent.process.js';
import { AllocationsService } from '../allocations/allocations.service.js';
import { CommandServer } from '../commands/command.server.js';
import type { Driver } from '../drivers/driver.js';
import type { Behaviour } from '../drivers/simulated/behaviour.js';
import { SimulatedEngine } from '../drivers/simulated/simulated.engine.js';
import { EventPublisher } from '../events/event.publisher.js';
import { HeartbeatService } from '../heartbeats/heartbeat.service.js';
import { Broker } from '../host/broker.js';
import { CapacityWatch } from '../host/capacity.watch.js';
import { LeaseKeeper } from '../leases/lease-keeper.js';
import { LogsServer } from '../logs/logs.server.js';
import { PreparationService } from '../preparation/preparation.service.js';
import { AgentDatabase } from '../state/agent.database.js';
import { StateUpkeep } from '../state/state-upkeep.js';
import { FakeScheduler } from './fake.scheduler.js';
import { writingDriver, type WritingDriverOptions } from './writing.driver.js';

/** Ends nothing by itself and takes no time. */
export const steady: Behaviour = {
  start_ms: 1,
  stop_ms: 1,
  obeysSigterm: true,
  startFault: null,
  exit: null,
};

/** One host with an agent, its own directories, and a scheduler of the test's. */
export class AgentFixture {
  readonly engine = new SimulatedEngine();
  /** Of the agents and their simulated bots. */
  readonly clock = new SkippingClock();
  #app: INestApplicationContext | null = null;

  private constructor(
    readonly host: string,
    readonly folder: string,
    readonly url: string,
    readonly scheduler: FakeScheduler,
    readonly logger: Logger,
  ) {}

  static async make(url: string): Promise<AgentFixture> {
    const host = uniqueName('host');
    const logger = createLogger({
      service: 'agent-test',
      level: process.env['TEST_LOG'] === undefined ? 'silent' : 'debug',
    });
    const folder = await mkdtemp(join(tmpdir(), 'tradefleet-agent-'));
    return new AgentFixture(host, folder, url, await FakeScheduler.start(url, host, logger), logger);
  }

  get stateDir(): string {
    return join(this.folder, 'state');
  }

  get runRoot(): string {
    return join(this.folder, 'run');
  }

  runDir(allocation: string): string {
    return join(this.runRoot, allocation);
  }

  async files(allocation: string): Promise<string[]> {
    return await readdir(this.runDir(allocation)).catch(() => []);
  }

  config(fields: Partial<AgentConfig> = {}): AgentConfig {
    return {
      ...AgentConfig.parse({
        host: this.host,
        natsUrl: [this.url],
        schedulerPublicKey: [this.scheduler.key.publicJwk],
        auditPublicKey: [this.scheduler.key.publicJwk],
        stateDir: this.stateDir,
        runRoot: this.runRoot,
        runRootAllowDisk: true,
        driver: 'simulated',
        leaseMarginMs: 100,
      }),
      ...fields,
    };
  }

  driver(options: Partial<WritingDriverOptions> = {}): Driver {
    return writingDriver(
      { host: this.host, engine: this.engine, behaviour: () => steady, ...options },
      this.clock,
    );
  }

  async start(fields: Partial<AgentConfig> = {}, driver: Driver = this.driver()): Promise<void> {
    const app = await makeAgent({
      config: this.config(fields),
      logger: this.logger,
      version: '0.0.0',
      clock: this.clock,
      driver,
    });
    this.#app = app;
    await app.get(AgentLifecycle).start(new AbortController().signal);
  }

  /** Lets more time pass than a lease lasts: those that nobody renews are over. */
  async outlastLeases(): Promise<void> {
    await this.clock.skip(this.scheduler.leaseTtlMs + 1000);
  }

  /** Lets time pass, slowly enough for heartbeats to be answered all the while: leases that are renewed go on. */
  async passAnswered(ms: number): Promise<void> {
    const { heartbeats, leaseTtlMs } = this.scheduler;
    const step_ms = leaseTtlMs / 3;
    for (let left_ms = ms; left_ms > 0; left_ms -= step_ms) {
      const before = heartbeats.length;
      await this.clock.skip(step_ms);
      // One may have been under way; what follows its answer was sent after the skip.
      await waitFor(() => heartbeats.length >= before + 3, { what: 'answered heartbeats' });
    }
  }

  /** A part of the running agent. */
  part<T>(type: Type<T>): T {
    if (this.#app === null) throw new Error('No agent is running.');
    return this.#app.get(type);
  }

  async stop(): Promise<void> {
    const app = this.#app;
    this.#app = null;
    await app?.get(AgentLifecycle).end();
    await app?.close();
  }

  /**
   * The agent is gone from one moment to the next, as by SIGKILL: nothing more is written, sent or done to any task.
   * The driver must hang from before on (`FragileDriver`), so that no lane can do anything either.
   */
  async crash(): Promise<void> {
    const app = this.#app;
    if (app === null) throw new Error('No agent is running.');
    this.#app = null;
    app.get(AgentDatabase).close();
    // What a killed process can no longer do is kept from being done; lanes hang in the driver for good.
    void app.get(PreparationService).close();
    void app.get(AllocationsService).detachAll();
    void app.get(HousekeepingService).close();
    await app.get(CommandServer).close();
    await app.get(LogsServer).close();
    await app.get(HeartbeatService).close();
    await app.get(LeaseKeeper).close();
    await app.get(StateUpkeep).close();
    await app.get(CapacityWatch).close();
    await app.get(EventPublisher).close();
    await app.get(Broker).close();
  }

  /** A start command for this host that the fake secrets service can grant. */
  command(fields: Partial<StartCommand> = {}): StartCommand {
    const command = aStartCommand({ host: this.host, id: newId(), ...fields });
    return { ...command, token: JSON.stringify({ login: command.login, server: command.server }) };
  }

  async close(): Promise<void> {
    await this.stop();
    await this.scheduler.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}
