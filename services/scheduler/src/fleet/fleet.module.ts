import { Module } from '@nestjs/common';
import { OperationsModule } from '../operations/operations.module.js';
import { RequestsModule } from '../requests/requests.module.js';
import { FleetController } from './fleet.controller.js';
import { FleetRepository } from './fleet.repository.js';
import { FleetService } from './fleet.service.js';

@Module({
  imports: [RequestsModule, OperationsModule],
  controllers: [FleetController],
  providers: [FleetRepository, FleetService],
})
export class FleetModule {}
