import { Module } from '@nestjs/common';
import { RequestsModule } from '../requests/requests.module.js';
import { QuotaRepository } from './quota.repository.js';
import { TenantRepository } from './tenant.repository.js';
import { TenantsController } from './tenants.controller.js';
import { TenantsService } from './tenants.service.js';

@Module({
  imports: [RequestsModule],
  controllers: [TenantsController],
  providers: [TenantRepository, QuotaRepository, TenantsService],
  exports: [TenantRepository, QuotaRepository],
})
export class TenantsModule {}
