import { Module } from '@nestjs/common';
import { OperationsModule } from '../operations/operations.module.js';
import { RequestsModule } from '../requests/requests.module.js';
import { TenantsModule } from '../tenants/tenants.module.js';
import { BotRepository } from './bot.repository.js';
import { BotsController } from './bots.controller.js';
import { BotsService } from './bots.service.js';

@Module({
  imports: [RequestsModule, OperationsModule, TenantsModule],
  controllers: [BotsController],
  providers: [BotRepository, BotsService],
})
export class BotsModule {}
