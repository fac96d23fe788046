import { CLOCK, SystemClock, type Clock } from '#libs/clock';
import type { ConsumerSpec } from '#libs/contracts';
import { MessagingModule, type Messaging, type SigningKey } from '#libs/messaging';
import { PersistenceModule } from '#libs/persistence';
import { TelemetryModule, type Logger } from '#libs/telemetry';
import { Module, type DynamicModule } from '@nestjs/common';
import { AUDIT_CONFIG, type AuditConfig } from './audit.config.js';
import { EVENTS_CONSUMER, AUDIT_SIGNING_KEY } from './audit.keys.js';
import { Classifier } from './classification/classifier.js';
import { HostKeyRepository } from './classification/host-key.repository.js';
import { HostKeys } from './classification/host-keys.js';
import { ProducerHeightRepository } from './classification/producer-height.repository.js';
import { SequenceHeights } from './classification/sequence-heights.js';
import { SignatureCheck } from './classification/signature.check.js';
import { writerOptions } from './database/prepare-database.js';
import { ReaderDatabase } from './database/reader.js';
import { HealthController } from './health/health.controller.js';
import { Committer } from './ingestion/committer.js';
import { IngestionController } from './ingestion/ingestion.controller.js';
import { IngestionService } from './ingestion/ingestion.service.js';
import { LogRepository } from './ingestion/log.repository.js';
import { Partitions } from './ingestion/partitions.js';
import { CheckpointRepository } from './log/checkpoint.repository.js';
import { CheckpointService } from './log/checkpoint.service.js';
import { HashRepository } from './log/hash.repository.js';
import { LOG_KEY, type LogKey } from './log/log-key.js';
import { LogController } from './log/log.controller.js';
import { LogReader } from './log/log.reader.repository.js';
import { ProofService } from './log/proof.service.js';
import { RecordService } from './log/record.service.js';
import { outboxProviders } from './database/outbox.providers.js';
import { OwnEvents } from './outbox/own.events.js';
import { privacyProviders } from './privacy/privacy.providers.js';
import { SubjectsController } from './privacy/subjects.controller.js';
import { QuarantineController } from './quarantine/quarantine.controller.js';
import { QuarantineReports } from './quarantine/quarantine.reports.js';
import { QuarantineRepository } from './quarantine/quarantine.repository.js';
import { QuarantineService } from './quarantine/quarantine.service.js';
import { CountService } from './query/count.service.js';
import { LogGrowth } from './query/log.growth.js';
import { People } from './query/people.js';
import { QueryController } from './query/query.controller.js';
import { QueryRepository } from './query/query.repository.js';
import { QueryService } from './query/query.service.js';
import { RetentionController } from './retention/retention.controller.js';
import { retentionProviders } from './retention/retention.providers.js';
import { TailService } from './query/tail.service.js';
import { selfCheckProviders } from './self-check/self-check.providers.js';
import { SecurityController } from './security/security.controller.js';
import { securityProviders } from './security/security.providers.js';
import { UpkeepRepository } from './upkeep/upkeep.repository.js';
import { UpkeepService } from './upkeep/upkeep.service.js';
import { GapLedger } from './watermark/gap.ledger.js';
import { GapRepository } from './watermark/gap.repository.js';
import { ProducerController } from './watermark/producer.controller.js';
import { ProducerRepository } from './watermark/producer.repository.js';
import { ProducerService } from './watermark/producer.service.js';
import { RefillPlanner } from './watermark/refill.planner.js';
import { SilenceWatch } from './watermark/silence.watch.js';
import { WatermarkController } from './watermark/watermark.controller.js';
import { WatermarkService } from './watermark/watermark.service.js';

/** What the process was started with. */
export interface Platform {
  readonly config: AuditConfig;
  readonly logger: Logger;
  /** Connected. */
  readonly messaging: Messaging;
  /** Of the stream of events. */
  readonly consumer: ConsumerSpec;
  /** Of this service's own events. */
  readonly signingKey: SigningKey;
  /** Of the checkpoints of the log. */
  readonly logKey: LogKey;
  /** Default the system's. */
  readonly clock?: Clock | undefined;
}

/** Records every event and answers what was recorded. */
@Module({})
export class AuditModule {
  static forRoot(platform: Platform): DynamicModule {
    const { config, logger, messaging, clock = new SystemClock() } = platform;
    return {
      module: AuditModule,
      imports: [
        TelemetryModule.forRoot({ logger }),
        MessagingModule.forRoot(messaging),
        PersistenceModule.forRootAsync({ useFactory: () => writerOptions(config) }),
      ],
      controllers: [
        ...[IngestionController, QueryController, HealthController, LogController, SecurityController],
        ...[
          QuarantineController,
          ProducerController,
          WatermarkController,
          SubjectsController,
          RetentionController,
        ],
      ],
      providers: [
        { provide: AUDIT_CONFIG, useValue: config },
        { provide: CLOCK, useValue: clock },
        { provide: ReaderDatabase, useFactory: async () => await ReaderDatabase.connect(config) },
        ...[LogRepository, HashRepository, Partitions],
        { provide: LOG_KEY, useValue: platform.logKey },
        ...[CheckpointRepository, CheckpointService, LogReader, ProofService, RecordService],
        { provide: EVENTS_CONSUMER, useValue: platform.consumer },
        { provide: AUDIT_SIGNING_KEY, useValue: platform.signingKey },
        ...[...outboxProviders, OwnEvents],
        ...[HostKeyRepository, HostKeys, ProducerHeightRepository, SequenceHeights, SignatureCheck],
        ...retentionProviders,
        ...[Classifier, ...privacyProviders, Committer, IngestionService],
        ...securityProviders,
        ...selfCheckProviders,
        ...[UpkeepRepository, UpkeepService],
        ...[QuarantineReports, QuarantineRepository, QuarantineService],
        ...[GapRepository, GapLedger, RefillPlanner, WatermarkService],
        ...[ProducerRepository, ProducerService, SilenceWatch],
        ...[QueryRepository, People, QueryService, CountService, LogGrowth, TailService],
      ],
    };
  }
}
