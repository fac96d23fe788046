import { CLOCK, type Clock } from '#libs/clock';
import { LOGGER, type Logger } from '#libs/telemetry';
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { AUDIT_CONFIG, type AuditConfig } from '../audit.config.js';
import { ActivityService } from './activity/activity.service.js';
import { ReportService } from './report/report.service.js';

/** Looks for unusual activity, and for weeks that are over, once a minute. */
@Injectable()
export class SecurityWatch implements OnModuleDestroy {
  private readonly stopped = new AbortController();
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly activity: ActivityService,
    private readonly reports: ReportService,
    @Inject(AUDIT_CONFIG) private readonly config: Pick<AuditConfig, 'securityLookMs'>,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  start(): void {
    this.running = this.run();
  }

  async onModuleDestroy(): Promise<void> {
    this.stopped.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    const { signal } = this.stopped;
    let begun = false;
    while (!signal.aborted) {
      begun ||= await this.attempt('the search for unusual activity did not begin', () =>
        this.activity.begin(),
      );
      if (begun) await this.attempt('unusual activity not looked for', () => this.activity.look(signal));
      await this.attempt('weekly report not made', () => this.reports.close());
      try {
        await this.clock.sleep(this.config.securityLookMs, signal);
      } catch {
        return; // aborted
      }
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
