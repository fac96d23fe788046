import { MessagingModule, type Messaging } from '#libs/messaging';
import { PersistenceModule } from '#libs/persistence';
import { TelemetryModule, type Logger } from '#libs/telemetry';
import { Module, type DynamicModule } from '@nestjs/common';
import type { AuditConfig } from './audit.config.js';
import { writerOptions } from './database/prepare-database.js';
import { HealthController } from './health/health.controller.js';
import { EventRepository } from './ingestion/event.repository.js';
import { IngestionController } from './ingestion/ingestion.controller.js';
import { IngestionService } from './ingestion/ingestion.service.js';
import { QueryController } from './query/query.controller.js';
import { QueryRepository } from './query/query.repository.js';
import { QueryService } from './query/query.service.js';

/** What the process was started with. */
export interface Platform {
  readonly config: AuditConfig;
  readonly logger: Logger;
  /** Connected. */
  readonly messaging: Messaging;
}

/** Records every event and answers what was recorded. */
@Module({})
export class AuditModule {
  static forRoot({ config, logger, messaging }: Platform): DynamicModule {
    return {
      module: AuditModule,
      imports: [
        TelemetryModule.forRoot({ logger }),
        MessagingModule.forRoot(messaging),
        PersistenceModule.forRootAsync({ useFactory: () => writerOptions(config) }),
      ],
      controllers: [IngestionController, QueryController, HealthController],
      providers: [EventRepository, IngestionService, QueryRepository, QueryService],
    };
  }
}
