import { BackgroundLoop, CLOCK, pause, type Clock } from '#libs/clock';
import { Outbox, TransactionRunner } from '#libs/persistence';
import { LOGGER, type Logger } from '#libs/telemetry';
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { AUDIT_CONFIG, type AuditConfig } from '../audit.config.js';
import { QuarantineReports } from '../quarantine/quarantine.reports.js';
import { GapLedger } from './gap.ledger.js';
import { ProducerRepository } from './producer.repository.js';

const producers_a_look_max = 50;
/** Looks in the time a producer may be silent. */
const looks = 10;

/** Looks now and then for what nobody comes to tell: gaps whose producer is silent, and floods that are over. */
@Injectable()
export class SilenceWatch implements OnModuleDestroy {
  private readonly loop = new BackgroundLoop(async (signal) => await this.run(signal));

  constructor(
    private readonly repository: ProducerRepository,
    private readonly ledger: GapLedger,
    private readonly quarantine: QuarantineReports,
    private readonly transactions: TransactionRunner,
    private readonly outbox: Outbox,
    @Inject(AUDIT_CONFIG) private readonly config: Pick<AuditConfig, 'silentAfterMs'>,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  start(): void {
    this.loop.start();
  }

  async onModuleDestroy(): Promise<void> {
    await this.loop.stop();
  }

  /** One look; what fails is looked at again the next time. */
  async look(): Promise<void> {
    const since = new Date(this.clock.wallMs() - this.config.silentAfterMs);
    for (const producer of await this.repository.silentSince(since, producers_a_look_max))
      await this.ledger.silent(producer);
    const flood = this.quarantine.flood();
    if (flood === null) return;
    await this.transactions.run(async (tx) => await this.outbox.event(tx, flood));
    this.quarantine.forget();
  }

  private async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      await pause(this.clock, this.config.silentAfterMs / looks, signal);
      if (signal.aborted) return;
      try {
        await this.look();
      } catch (error) {
        this.logger.warn({ err: error }, 'silent producers not looked for');
      }
    }
  }
}
