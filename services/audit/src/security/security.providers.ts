import { refusalsProvider } from '#libs/persistence';
import type { Provider } from '@nestjs/common';
import { AUDIT_CONFIG } from '../audit.config.js';
import { ActivityRepository } from './activity/activity.repository.js';
import { ActivityService } from './activity/activity.service.js';
import { ReportRepository } from './report/report.repository.js';
import { ReportService } from './report/report.service.js';
import { SecurityRepository } from './security.repository.js';
import { SecurityService } from './security.service.js';
import { SecurityWatch } from './security.watch.js';
import { SubjectNames } from './subject.names.service.js';

export const securityProviders: Provider[] = [
  refusalsProvider('audit', AUDIT_CONFIG),
  ...[SubjectNames, SecurityRepository, SecurityService],
  ...[ActivityRepository, ActivityService, ReportRepository, ReportService, SecurityWatch],
];
