import type { ApiParsed, ApiResponse } from '#libs/contracts';
import { Api, RequestContext } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { askerOf } from '../requests/asker.js';
import { HostsService } from './hosts.service.js';

/** `fleet.v1.api.hosts.*` */
@Controller()
export class HostsController {
  constructor(private readonly hosts: HostsService) {}

  @Api('hosts.list')
  async list(@Payload() request: ApiParsed<'hosts.list'>): Promise<ApiResponse<'hosts.list'>> {
    return await this.hosts.list(request);
  }

  @Api('hosts.get')
  async get(@Payload() request: ApiParsed<'hosts.get'>): Promise<ApiResponse<'hosts.get'>> {
    return await this.hosts.get(request);
  }

  @Api('hosts.drain')
  async drain(
    @Payload() request: ApiParsed<'hosts.drain'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'hosts.drain'>> {
    return await this.hosts.drain(request, askerOf(context));
  }

  @Api('hosts.ready')
  async ready(
    @Payload() request: ApiParsed<'hosts.ready'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'hosts.ready'>> {
    return await this.hosts.ready(request, askerOf(context));
  }
}
