import { CLOCK, type Clock } from '#libs/clock';
import { SecurityReport, type SecurityReportGet } from '#libs/contracts';
import { Outbox, OutboxRelay, TransactionRunner } from '#libs/persistence';
import { LOGGER, type Logger } from '#libs/telemetry';
import { Inject, Injectable } from '@nestjs/common';
import { createHash } from 'node:crypto';
import { refusal } from '../../errors.js';
import { SubjectNames } from '../subject.names.service.js';
import { reportOf } from './report.js';
import { ReportRepository } from './report.repository.js';
import { rangeOf, weeksBefore, type WeekRange } from './week.js';

/** What is recorded late, within so long, is still of the week. */
const grace_ms = 3_600_000;
/** Weeks that are made up for after the service was away. */
const weeks_made_up_max = 4;
const closing_ms_max = 25_000;
const asked_ms_max = 3500;

/** Reports of weeks: made once when a week is over and kept, of any other week as the log is now. */
@Injectable()
export class ReportService {
  constructor(
    private readonly repository: ReportRepository,
    private readonly names: SubjectNames,
    private readonly transactions: TransactionRunner,
    private readonly outbox: Outbox,
    private readonly relay: OutboxRelay,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Throws `invalid_request` for a week that there is not, `query_too_costly`. */
  async report({ week }: SecurityReportGet): Promise<SecurityReport> {
    const range = week === undefined ? weeksBefore(this.clock.wallMs(), 1)[0] : rangeOf(week);
    if (range === null || range === undefined) throw refusal.noSuchWeek();
    const stored = await this.repository.stored(range.week);
    const report =
      stored === null
        ? reportOf(range, await this.repository.facts(range, asked_ms_max), false)
        : { ...SecurityReport.parse(JSON.parse(stored.body)), digest: stored.digest };
    const nameOf = await this.names.of(report.actors.map(({ name }) => name));
    return { ...report, actors: report.actors.map(({ name, count }) => ({ name: nameOf(name), count })) };
  }

  /** Makes and keeps the reports of weeks that are over and have none, each once, whoever else does. */
  async close(): Promise<void> {
    for (const range of weeksBefore(this.clock.wallMs() - grace_ms, weeks_made_up_max)) {
      if ((await this.repository.stored(range.week)) !== null) continue;
      if (await this.repository.knowsBefore(range.to)) await this.closeWeek(range);
    }
  }

  private async closeWeek(range: WeekRange): Promise<void> {
    const report = reportOf(range, await this.repository.facts(range, closing_ms_max), true);
    const body = JSON.stringify(report);
    const digest = createHash('sha256').update(body, 'utf8').digest('hex');
    const { week, asOf } = report;
    const isFirst = await this.transactions.run(async (tx) => {
      const now = new Date(this.clock.wallMs());
      if (!(await this.repository.store(tx, { week, asOf, body, digest }, now))) return false;
      await this.outbox.event(tx, {
        type: 'tradefleet.security.weekly-report',
        id: week,
        data: {
          ...{ week, asOf, digest, events: report.events.total },
          ...{ refused: report.refused.total, unusual: report.unusual.total },
        },
        actor: 'service:audit',
      });
      return true;
    });
    if (!isFirst) return;
    this.relay.wake();
    this.logger.info({ week, asOf, digest }, 'weekly security report made');
  }
}
