import { subjects } from '#libs/contracts';
import { Messaging, Request } from '#libs/messaging';
import { OutboxRelay } from '#libs/persistence';
import { LOGGER, type Logger } from '#libs/telemetry';
import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { LEADERSHIP, type Leadership } from '../leadership/leadership.js';

const HealthRequest = z.strictObject({});

/** How this scheduler is. `ready` when it can take requests and what it decides gets out. */
export interface Health {
  readonly ready: boolean;
  /** Its term when it leads, else null. */
  readonly term: number | null;
  readonly database: boolean;
  readonly nats: boolean;
  /**
   * `waiting`: messages that are not yet published; `unconfirmed`: events that are, and are kept until the audit service
   * has recorded them. Counted up to a bound; null when the database is away.
   */
  readonly outbox: {
    readonly waiting: number | null;
    readonly unconfirmed: number | null;
    readonly published: number;
    readonly failures: number;
  };
}

/** Consecutive failures of the outbox relay from which this scheduler is not ready. */
const relay_failures_max = 5;

@Controller()
export class HealthController {
  constructor(
    @Inject(LEADERSHIP) private readonly leadership: Leadership,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly relay: OutboxRelay,
    private readonly messaging: Messaging,
  ) {}

  @Request(subjects.internal('scheduler', 'health'), HealthRequest)
  async health(): Promise<Health> {
    const term = this.leadership.current()?.term ?? null;
    const waiting = await this.counted(async () => await this.relay.backlog());
    const unconfirmed = await this.counted(async () => await this.relay.unconfirmed());
    const { running, published, failures } = this.relay.status();
    const database = waiting !== null;
    const nats = this.messaging.isConnected();
    return {
      ready: database && nats && running && failures < relay_failures_max && term !== null,
      term,
      database,
      nats,
      outbox: { waiting, unconfirmed, published, failures },
    };
  }

  private async counted(count: () => Promise<number>): Promise<number | null> {
    try {
      return await count();
    } catch (error) {
      this.logger.warn({ err: error }, 'the database did not answer');
      return null;
    }
  }
}
