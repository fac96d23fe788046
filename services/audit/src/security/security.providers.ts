import { CLOCK, type Clock } from '#libs/clock';
import { Outbox, OutboxRelay, RefusalsRecorder, TransactionRunner } from '#libs/persistence';
import { LOGGER, type Logger } from '#libs/telemetry';
import type { Provider } from '@nestjs/common';
import { AUDIT_CONFIG, type AuditConfig } from '../audit.config.js';
import { ActivityRepository } from './activity/activity.repository.js';
import { ActivityService } from './activity/activity.service.js';
import { ReportRepository } from './report/report.repository.js';
import { ReportService } from './report/report.service.js';
import { SecurityRepository } from './security.repository.js';
import { SecurityService } from './security.service.js';
import { SecurityWatch } from './security.watch.js';
import { SubjectNames } from './subject.names.service.js';

export const securityProviders: Provider[] = [
  {
    provide: RefusalsRecorder,
    inject: [TransactionRunner, Outbox, OutboxRelay, CLOCK, LOGGER, AUDIT_CONFIG],
    useFactory: (
      transactions: TransactionRunner,
      outbox: Outbox,
      relay: OutboxRelay,
      clock: Clock,
      logger: Logger,
      { refusalEventsPerSecond: perSecond }: AuditConfig,
    ) => new RefusalsRecorder({ door: 'audit', perSecond, transactions, outbox, relay, clock, logger }),
  },
  ...[SubjectNames, SecurityRepository, SecurityService],
  ...[ActivityRepository, ActivityService, ReportRepository, ReportService, SecurityWatch],
];
