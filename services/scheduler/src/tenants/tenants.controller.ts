import type { ApiParsed, ApiResponse } from '#libs/contracts';
import { Api, RequestContext } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { askerOf } from '../requests/asker.js';
import { TenantsService } from './tenants.service.js';

/** `fleet.v1.api.tenants.*` */
@Controller()
export class TenantsController {
  constructor(private readonly tenants: TenantsService) {}

  @Api('tenants.create')
  async create(
    @Payload() request: ApiParsed<'tenants.create'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'tenants.create'>> {
    return await this.tenants.create(request, askerOf(context));
  }

  @Api('tenants.update')
  async update(
    @Payload() request: ApiParsed<'tenants.update'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'tenants.update'>> {
    return await this.tenants.update(request, askerOf(context));
  }

  @Api('tenants.get')
  async get(@Payload() request: ApiParsed<'tenants.get'>): Promise<ApiResponse<'tenants.get'>> {
    return await this.tenants.get(request);
  }

  @Api('tenants.list')
  async list(@Payload() request: ApiParsed<'tenants.list'>): Promise<ApiResponse<'tenants.list'>> {
    return await this.tenants.list(request);
  }
}
