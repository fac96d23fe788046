import { Inject, Injectable } from '@nestjs/common';
import { BrokerUpkeep } from './broker/broker.upkeep.js';
import { LEADERSHIP, LeadershipLost, type Leadership } from './leadership/leadership.js';
import { ReconcilerLoop } from './reconciliation/reconciler.loop.js';

/** What the leader does of its own accord, as one thing to start and stop. */
@Injectable()
export class SchedulerRuntime {
  constructor(
    private readonly loop: ReconcilerLoop,
    private readonly upkeep: BrokerUpkeep,
    @Inject(LEADERSHIP) private readonly leadership: Leadership,
  ) {}

  /** Only for who leads; throws `LeadershipLost` otherwise. */
  start(): void {
    if (this.leadership.current() === null) throw new LeadershipLost('Lead before you start the runtime.');
    this.upkeep.start();
    this.loop.start();
  }

  /** Finishes the pass under way and stops. What it wrote is published by the outbox relay, now or later. */
  async stop(): Promise<void> {
    await this.loop.stop();
    await this.upkeep.stop();
  }
}
