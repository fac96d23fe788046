import type { ApiParsed, ApiResponse } from '#libs/contracts';
import { Api, RequestContext } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { askerOf } from '../requests/asker.js';
import { JoiningService } from './joining.service.js';
import { HostsService } from './hosts.service.js';

/** `fleet.v1.api.hosts.*` */
@Controller()
export class HostsController {
  constructor(
    private readonly hosts: HostsService,
    private readonly joining: JoiningService,
  ) {}

  @Api('hosts.list')
  async list(@Payload() request: ApiParsed<'hosts.list'>): Promise<ApiResponse<'hosts.list'>> {
    return await this.hosts.list(request);
  }

  @Api('hosts.get')
  async get(@Payload() request: ApiParsed<'hosts.get'>): Promise<ApiResponse<'hosts.get'>> {
    return await this.hosts.get(request);
  }

  @Api('hosts.invite')
  async invite(
    @Payload() request: ApiParsed<'hosts.invite'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'hosts.invite'>> {
    return await this.joining.invite(request, askerOf(context));
  }

  @Api('hosts.remove')
  async remove(
    @Payload() request: ApiParsed<'hosts.remove'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'hosts.remove'>> {
    return await this.joining.remove(request, askerOf(context));
  }

  @Api('hosts.label')
  async label(
    @Payload() request: ApiParsed<'hosts.label'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'hosts.label'>> {
    return await this.hosts.label(request, askerOf(context));
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
