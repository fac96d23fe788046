import { CLOCK, SystemClock, type Clock } from '#libs/clock';
import { MessagingModule, type Messaging } from '#libs/messaging';
import { PersistenceModule } from '#libs/persistence';
import { TelemetryModule, type Logger } from '#libs/telemetry';
import { Module, type DynamicModule } from '@nestjs/common';
import { AUDIT_CONFIG, type AuditConfig } from './audit.config.js';
import { writerOptions } from './database/prepare-database.js';
import { ReaderDatabase } from './database/reader.js';
import { HealthController } from './health/health.controller.js';
import { Classifier } from './ingestion/classifier.js';
import { Committer } from './ingestion/committer.js';
import { EventSealer } from './ingestion/event-sealer.js';
import { IngestionController } from './ingestion/ingestion.controller.js';
import { IngestionService } from './ingestion/ingestion.service.js';
import { LogRepository } from './ingestion/log.repository.js';
import { Partitions } from './ingestion/partitions.js';
import { HashRepository } from './log/hash.repository.js';
import { QueryController } from './query/query.controller.js';
import { QueryRepository } from './query/query.repository.js';
import { QueryService } from './query/query.service.js';

/** What the process was started with. */
export interface Platform {
  readonly config: AuditConfig;
  readonly logger: Logger;
  /** Connected. */
  readonly messaging: Messaging;
  /** Default the system's. */
  readonly clock?: Clock | undefined;
}

/** Records every event and answers what was recorded. */
@Module({})
export class AuditModule {
  static forRoot({ config, logger, messaging, clock = new SystemClock() }: Platform): DynamicModule {
    return {
      module: AuditModule,
      imports: [
        TelemetryModule.forRoot({ logger }),
        MessagingModule.forRoot(messaging),
        PersistenceModule.forRootAsync({ useFactory: () => writerOptions(config) }),
      ],
      controllers: [IngestionController, QueryController, HealthController],
      providers: [
        { provide: AUDIT_CONFIG, useValue: config },
        { provide: CLOCK, useValue: clock },
        { provide: ReaderDatabase, useFactory: async () => await ReaderDatabase.connect(config) },
        ...[LogRepository, HashRepository, Partitions],
        ...[Classifier, EventSealer, Committer, IngestionService],
        ...[QueryRepository, QueryService],
      ],
    };
  }
}
