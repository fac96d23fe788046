import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { LOGGER, type Logger } from '#libs/telemetry';
import { AdoptionService } from './adoption/adoption.service.js';
import { HousekeepingService } from './adoption/housekeeping.service.js';
import { AGENT_CONFIG, type AgentConfig } from './agent.config.js';
import { AllocationsService } from './allocations/allocations.service.js';
import { CommandServer } from './commands/command.server.js';
import { DRIVER, type Driver } from './drivers/driver.js';
import { EventPublisher } from './events/event.publisher.js';
import { HeartbeatService } from './heartbeats/heartbeat.service.js';
import { HostSuperseded } from './errors.js';
import { Broker } from './host/broker.js';
import { CapacityWatch } from './host/capacity.watch.js';
import { Supersession } from './host/supersession.js';
import { LeaseKeeper } from './leases/lease-keeper.js';
import { LogsServer } from './logs/logs.server.js';
import { PreparationService } from './preparation/preparation.service.js';
import { AgentDatabase } from './state/agent.database.js';
import { StateUpkeep } from './state/state-upkeep.js';

/** Longest a shutdown waits for bots to stop: the longest grace there is, and room to kill and remove. */
const stop_ms_max = 75_000;
/** Longest a shutdown waits for lanes to let go: the longest step of a driver. */
const detach_ms_max = 15_000;
/** Longest a shutdown waits for events to reach the broker; the rest is published by the next agent. */
const flush_ms_max = 3000;
/** Longer than any lease, and than a start waits for its first one. */
const retire_ms_max = 120_000;
const look_ms = 250;

/**
 * The order in which an agent starts and ends stands here and nowhere else.
 *
 *   keep leases -> adopt or kill -> keep house -> NATS -> register, heartbeat -> publish events -> logs -> take commands
 */
@Injectable()
export class AgentLifecycle {
  #ended: Promise<void> | null = null;

  constructor(
    private readonly leases: LeaseKeeper,
    private readonly adoption: AdoptionService,
    private readonly housekeeping: HousekeepingService,
    private readonly broker: Broker,
    private readonly publisher: EventPublisher,
    private readonly heartbeats: HeartbeatService,
    private readonly logs: LogsServer,
    private readonly commands: CommandServer,
    private readonly allocations: AllocationsService,
    private readonly preparations: PreparationService,
    private readonly supersession: Supersession,
    private readonly upkeep: StateUpkeep,
    private readonly capacity: CapacityWatch,
    private readonly db: AgentDatabase,
    @Inject(DRIVER) private readonly driver: Driver,
    @Inject(AGENT_CONFIG) private readonly config: AgentConfig,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * Resolves when commands are taken; rejects when the signal aborts or the start cannot succeed.
   * @throws HostSuperseded when another agent has registered as this host meanwhile
   */
  async start(signal: AbortSignal): Promise<void> {
    const superseded = this.supersession.signal;
    try {
      await this.#start(AbortSignal.any([signal, superseded]));
    } catch (error) {
      if (superseded.aborted) throw new HostSuperseded();
      throw error;
    }
  }

  async #start(signal: AbortSignal): Promise<void> {
    this.leases.start();
    await this.adoption.run(signal);
    this.housekeeping.start();
    await this.broker.open(signal);
    this.upkeep.start();
    this.capacity.start();
    await this.heartbeats.start(signal);
    // Not before the host is registered: until then nobody knows the key that events are signed with.
    this.publisher.start();
    await this.logs.start();
    this.preparations.start();
    await this.commands.start();
    this.logger.info({ host: this.config.host, allocations: this.allocations.count }, 'agent is ready');
  }

  /** Aborts when another agent has taken this one's place. */
  get superseded(): AbortSignal {
    return this.supersession.signal;
  }

  /**
   * What a superseded agent does before it ends: it takes no more commands and gets no more leases, so its bots end with
   * those they have, and it stays to see to it. Bounded.
   */
  async retire(): Promise<void> {
    this.logger.fatal({ host: this.config.host }, 'another agent has taken the place of this one');
    await this.#step('commands', this.commands.close());
    // Where both have one engine, what the other one starts would be a stray to this one.
    await this.#step('housekeeping', this.#within(this.housekeeping.close(), detach_ms_max));
    const enough_ms = this.clock.monotonicMs() + retire_ms_max;
    while (this.allocations.count > 0 && this.clock.monotonicMs() < enough_ms)
      await this.clock.sleep(look_ms);
  }

  /** The way back. Safe at any moment of the start; a second call waits for the first. */
  async end(): Promise<void> {
    this.#ended ??= this.#end();
    await this.#ended;
  }

  async #end(): Promise<void> {
    await this.#step('commands', this.commands.close());
    await this.#step('housekeeping', this.#within(this.housekeeping.close(), detach_ms_max));
    await this.#step('logs', this.logs.close());
    if (this.config.onShutdown === 'stop') {
      const stopped = this.allocations.stopAll('The agent was shut down.');
      await this.#step('stopping bots', this.#within(stopped, stop_ms_max));
      await this.#step('last heartbeat', this.heartbeats.last());
    }
    await this.#step('preparations', this.#within(this.preparations.close(), detach_ms_max));
    await this.#step('letting go', this.#within(this.allocations.detachAll(), detach_ms_max));
    await this.#step('heartbeats', this.heartbeats.close());
    await this.#step('leases', this.leases.close());
    await this.#step('upkeep', this.upkeep.close());
    await this.#step('capacity', this.#within(this.capacity.close(), detach_ms_max));
    await this.#step('flush', this.publisher.flush(flush_ms_max));
    await this.#step('events', this.publisher.close());
    await this.#step('NATS', this.broker.close());
    await this.#step('driver', this.driver.close());
    this.db.close();
    this.logger.info({ host: this.config.host }, 'agent has ended');
  }

  /** One part that cannot end must not keep the others from it. */
  async #step(part: string, work: Promise<unknown>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.logger.error({ err: error, part }, 'a part of the agent did not end well');
    }
  }

  async #within(work: Promise<void>, bound_ms: number): Promise<void> {
    const enough = new AbortController();
    const late = this.clock.sleep(bound_ms, enough.signal).then(
      () => true,
      () => false,
    );
    if (await Promise.race([work.then(() => false), late])) throw new Error(`not within ${bound_ms} ms`);
    enough.abort();
  }
}
