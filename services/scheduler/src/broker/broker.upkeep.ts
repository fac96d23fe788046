import { Inject, Injectable } from '@nestjs/common';
import { BackgroundLoop, CLOCK, Wake, type Clock } from '#libs/clock';
import { consumers, streams } from '#libs/contracts';
import { Messaging, provision } from '#libs/messaging';
import { LOGGER, type Logger } from '#libs/telemetry';
import { HostRegistrationRepository } from '../heartbeats/host-registration.repository.js';
import { SCHEDULER_CONFIG, type SchedulerConfig } from '../scheduler.config.js';
import { StrayConsumers } from './stray-consumers.service.js';

/** A broker that lost its store without being away is found out within this. */
const look_ms = 60_000;

/**
 * Sees to it that the broker has the streams and consumers of the fleet: when this scheduler begins to lead, whenever
 * the broker was away, and every minute; then it also takes away the consumers of hosts that were removed. A store that
 * was lost costs messages, which are sent again (commands by the resend reconciler); without this it would cost the
 * fleet until somebody restarts the scheduler.
 */
@Injectable()
export class BrokerUpkeep {
  private readonly loop = new BackgroundLoop(async (signal) => await this.run(signal));

  constructor(
    private readonly messaging: Messaging,
    private readonly hosts: HostRegistrationRepository,
    private readonly strays: StrayConsumers,
    @Inject(SCHEDULER_CONFIG) private readonly config: SchedulerConfig,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Begins to look; for who leads. */
  start(): void {
    this.loop.start();
  }

  async stop(): Promise<void> {
    await this.loop.stop();
  }

  /**
   * One look: makes what is missing, changes nothing else. Hosts register once, so their consumers are made here too.
   * @throws what NATS or the database says; IncompatibleProvisioning when a person must decide
   */
  async pass(): Promise<void> {
    await provision(this.messaging, {
      streams: Object.values(streams),
      consumers: [consumers.audit, consumers.schedulerProjection, consumers.schedulerMoves],
      replicas: this.config.streamReplicas,
    });
    const hosts = await this.hosts.names();
    await provision(this.messaging, { consumers: hosts.map((host) => consumers.agentCommands(host)) });
  }

  private async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.pause(signal);
      if (signal.aborted) return;
      try {
        await this.pass();
        await this.strays.remove(async () => this.pass());
      } catch (error) {
        // The next look or the next connection tries again; publishing fails meanwhile, which shows in health.
        this.logger.warn({ err: error }, 'streams and consumers could not be looked after');
      }
    }
  }

  /** Until the broker is back after an absence, or a minute has passed. */
  private async pause(signal: AbortSignal): Promise<void> {
    const back = new Wake();
    const stop = this.messaging.onConnected(() => back.call());
    try {
      await back.wait(this.clock, look_ms, signal);
    } finally {
      stop();
    }
  }
}
