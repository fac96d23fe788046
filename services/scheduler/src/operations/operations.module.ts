import { Module } from '@nestjs/common';
import { OperationRepository } from './operation.repository.js';
import { OperationTracker } from './operation.tracker.js';
import { OperationWaiters } from './operation.waiters.js';
import { OperationsController } from './operations.controller.js';
import { OperationsService } from './operations.service.js';

@Module({
  controllers: [OperationsController],
  providers: [OperationRepository, OperationTracker, OperationWaiters, OperationsService],
  exports: [OperationTracker],
})
export class OperationsModule {}
