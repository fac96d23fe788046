import 'reflect-metadata';
import { runProcess } from '#libs/process';
import { AuditConfig } from './audit.config.js';
import { startAudit } from './audit.process.js';
import { UnsafeRole } from './errors.js';

await runProcess({
  service: 'audit',
  config: AuditConfig,
  start: startAudit,
  isConfigurationFault: (error) => error instanceof UnsafeRole,
});
