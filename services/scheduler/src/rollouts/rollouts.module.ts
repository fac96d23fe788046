import { Module } from '@nestjs/common';
import { OperationsModule } from '../operations/operations.module.js';
import { RequestsModule } from '../requests/requests.module.js';
import { RolloutRepository } from './rollout.repository.js';
import { RolloutTransitions } from './rollout.transitions.js';
import { RolloutsController } from './rollouts.controller.js';
import { RolloutsService } from './rollouts.service.js';

/** What people ask of rollouts; `RolloutReconciler` carries them out and is a part of the runtime. */
@Module({
  imports: [RequestsModule, OperationsModule],
  controllers: [RolloutsController],
  providers: [RolloutRepository, RolloutTransitions, RolloutsService],
})
export class RolloutsModule {}
