import type { Provider } from '@nestjs/common';
import { AUDIT_CONFIG, type AuditConfig } from '../audit.config.js';
import { KeeperDatabase } from '../database/keeper.js';
import { ArchiveRecordsRepository } from './archive-records.repository.js';
import { ArchiveRecordsService } from './archive-records.service.js';
import { ArchiveTeller } from './archive.teller.js';
import { HoldRepository } from './hold.repository.js';
import { HoldsService } from './holds.service.js';
import { KeeperRepository } from './keeper.repository.js';
import { PartitionArchiver } from './partition.archiver.js';
import { RetentionJob } from './retention.job.js';
import { RetentionRepository } from './retention.repository.js';
import { RetentionService } from './retention.service.js';

export const retentionProviders: Provider[] = [
  {
    provide: KeeperDatabase,
    inject: [AUDIT_CONFIG],
    useFactory: async (config: AuditConfig) => await KeeperDatabase.connect(config),
  },
  ...[KeeperRepository, RetentionRepository, PartitionArchiver, RetentionJob, RetentionService],
  ...[ArchiveRecordsRepository, ArchiveRecordsService, ArchiveTeller],
  ...[HoldRepository, HoldsService],
];
