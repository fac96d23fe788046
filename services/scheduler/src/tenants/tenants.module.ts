import { Module } from '@nestjs/common';
import { RequestsModule } from '../requests/requests.module.js';
import { TenantRepository } from './tenant.repository.js';
import { TenantsController } from './tenants.controller.js';
import { TenantsService } from './tenants.service.js';

@Module({
  imports: [RequestsModule],
  controllers: [TenantsController],
  providers: [TenantRepository, TenantsService],
  exports: [TenantRepository],
})
export class TenantsModule {}
