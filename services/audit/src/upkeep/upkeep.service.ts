import { BackgroundLoop, CLOCK, pause, type Clock } from '#libs/clock';
import { Outbox, OutboxRelay, TransactionRunner } from '#libs/persistence';
import { LOGGER, type Logger } from '#libs/telemetry';
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { AUDIT_CONFIG, type AuditConfig } from '../audit.config.js';
import { UpkeepRepository } from './upkeep.repository.js';

/** Rows at a time; what is left goes the next time. */
const rows_max = 1000;
const day_ms = 86_400_000;

/** Takes away what the service need not keep for ever: messages put aside long ago, incarnations that are over. */
@Injectable()
export class UpkeepService implements OnModuleDestroy {
  private readonly loop = new BackgroundLoop(async (signal) => await this.run(signal));

  constructor(
    private readonly repository: UpkeepRepository,
    private readonly transactions: TransactionRunner,
    private readonly outbox: Outbox,
    private readonly relay: OutboxRelay,
    @Inject(AUDIT_CONFIG) private readonly config: Pick<AuditConfig, 'upkeepMs' | 'producersKeptDays'>,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  start(): void {
    this.loop.start();
  }

  async onModuleDestroy(): Promise<void> {
    await this.loop.stop();
  }

  /** One look. Throws what the database throws; it is tried again. */
  async look(): Promise<void> {
    const messages = await this.transactions.run(async (tx) => {
      const pruned = await this.repository.pruneQuarantine(tx, rows_max);
      if (pruned > 0)
        await this.outbox.event(tx, {
          ...{ type: 'tradefleet.audit.quarantine-pruned', id: 'quarantine', actor: 'service:audit' },
          data: { messages: pruned },
        });
      return pruned;
    });
    if (messages > 0) this.relay.wake();
    const since = new Date(this.clock.wallMs() - this.config.producersKeptDays * day_ms);
    const producers = await this.transactions.run(
      async (tx) => await this.repository.pruneProducers(tx, since, rows_max),
    );
    if (messages + producers > 0) this.logger.info({ messages, producers }, 'what is over was taken away');
  }

  private async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.look();
      } catch (error) {
        this.logger.warn({ err: error }, 'what is over was not taken away; trying again');
      }
      await pause(this.clock, this.config.upkeepMs, signal);
    }
  }
}
