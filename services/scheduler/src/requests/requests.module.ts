import { Module } from '@nestjs/common';
import { IdempotencyPruner } from '../idempotency/idempotency.pruner.js';
import { IdempotencyRepository } from '../idempotency/idempotency.repository.js';
import { ChangesService } from './changes.service.js';
import { RefusalsRecorder } from './refusals.recorder.js';

/** The way of every write, and the record of the refused ones. */
@Module({
  providers: [ChangesService, RefusalsRecorder, IdempotencyRepository, IdempotencyPruner],
  exports: [ChangesService, RefusalsRecorder],
})
export class RequestsModule {}
