import { Module } from '@nestjs/common';
import { OperationsModule } from '../operations/operations.module.js';
import { RequestsModule } from '../requests/requests.module.js';
import { HostRepository } from './host.repository.js';
import { HostsController } from './hosts.controller.js';
import { HostsService } from './hosts.service.js';
import { JoinTokenRepository } from './join-token.repository.js';
import { JoiningService } from './joining.service.js';

@Module({
  imports: [RequestsModule, OperationsModule],
  controllers: [HostsController],
  providers: [HostRepository, HostsService, JoiningService, JoinTokenRepository],
})
export class HostsModule {}
