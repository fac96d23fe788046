import { Module } from '@nestjs/common';
import { OperationsModule } from '../operations/operations.module.js';
import { RequestsModule } from '../requests/requests.module.js';
import { LeaderRepository } from '../leadership/leader.repository.js';
import { FleetController } from './fleet.controller.js';
import { FleetRepository } from './fleet.repository.js';
import { FleetService } from './fleet.service.js';
import { LeaderController } from './leader.controller.js';

@Module({
  imports: [RequestsModule, OperationsModule],
  controllers: [FleetController, LeaderController],
  providers: [LeaderRepository, FleetRepository, FleetService],
})
export class FleetModule {}
