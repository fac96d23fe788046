import { Module } from '@nestjs/common';
import { OperationsModule } from '../operations/operations.module.js';
import { RequestsModule } from '../requests/requests.module.js';
import { TenantsModule } from '../tenants/tenants.module.js';
import { AccountRepository } from './account.repository.js';
import { AccountsController } from './accounts.controller.js';
import { AccountsService } from './accounts.service.js';

@Module({
  imports: [RequestsModule, OperationsModule, TenantsModule],
  controllers: [AccountsController],
  providers: [AccountRepository, AccountsService],
})
export class AccountsModule {}
