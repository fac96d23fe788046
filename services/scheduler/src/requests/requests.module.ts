import { CLOCK, type Clock } from '#libs/clock';
import { Outbox, OutboxRelay, RefusalsRecorder, TransactionRunner } from '#libs/persistence';
import { LOGGER, type Logger } from '#libs/telemetry';
import { Module, type Provider } from '@nestjs/common';
import { IdempotencyPruner } from '../idempotency/idempotency.pruner.js';
import { IdempotencyRepository } from '../idempotency/idempotency.repository.js';
import { SCHEDULER_CONFIG, type SchedulerConfig } from '../scheduler.config.js';
import { ChangesService } from './changes.service.js';

const refusals: Provider = {
  provide: RefusalsRecorder,
  inject: [TransactionRunner, Outbox, OutboxRelay, CLOCK, LOGGER, SCHEDULER_CONFIG],
  useFactory: (
    transactions: TransactionRunner,
    outbox: Outbox,
    relay: OutboxRelay,
    clock: Clock,
    logger: Logger,
    { refusalEventsPerSecond: perSecond }: SchedulerConfig,
  ) => new RefusalsRecorder({ door: 'scheduler', perSecond, transactions, outbox, relay, clock, logger }),
};

/** The way of every write, and the record of what is refused. */
@Module({
  providers: [ChangesService, refusals, IdempotencyRepository, IdempotencyPruner],
  exports: [ChangesService, RefusalsRecorder],
})
export class RequestsModule {}
