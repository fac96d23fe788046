import { BackgroundLoop, CLOCK, pause, type Clock } from '#libs/clock';
import { LOGGER, type Logger } from '#libs/telemetry';
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { AUDIT_CONFIG, type AuditConfig } from '../audit.config.js';
import { ActivityService } from './activity/activity.service.js';
import { ReportService } from './report/report.service.js';

/** Looks for unusual activity, and for weeks that are over, once a minute. */
@Injectable()
export class SecurityWatch implements OnModuleDestroy {
  private readonly loop = new BackgroundLoop(async (signal) => await this.run(signal));

  constructor(
    private readonly activity: ActivityService,
    private readonly reports: ReportService,
    @Inject(AUDIT_CONFIG) private readonly config: Pick<AuditConfig, 'securityLookMs'>,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  start(): void {
    this.loop.start();
  }

  async onModuleDestroy(): Promise<void> {
    await this.loop.stop();
  }

  private async run(signal: AbortSignal): Promise<void> {
    let begun = false;
    while (!signal.aborted) {
      begun ||= await this.attempt('the search for unusual activity did not begin', () =>
        this.activity.begin(),
      );
      if (begun) await this.attempt('unusual activity not looked for', () => this.activity.look(signal));
      await this.attempt('weekly report not made', () => this.reports.close());
      await pause(this.clock, this.config.securityLookMs, signal);
    }
  }

  /** What fails is tried again the next time. */
  private async attempt(what: string, work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      this.logger.warn({ err: error }, what);
      return false;
    }
  }
}
