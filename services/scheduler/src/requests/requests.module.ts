import { RefusalsRecorder, refusalsProvider } from '#libs/persistence';
import { Module } from '@nestjs/common';
import { IdempotencyPruner } from '../idempotency/idempotency.pruner.js';
import { IdempotencyRepository } from '../idempotency/idempotency.repository.js';
import { SCHEDULER_CONFIG } from '../scheduler.config.js';
import { ChangesService } from './changes.service.js';

/** The way of every write, and the record of what is refused. */
@Module({
  providers: [
    ChangesService,
    refusalsProvider('scheduler', SCHEDULER_CONFIG),
    IdempotencyRepository,
    IdempotencyPruner,
  ],
  exports: [ChangesService, RefusalsRecorder],
})
export class RequestsModule {}
