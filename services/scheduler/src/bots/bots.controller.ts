import type { ApiParsed, ApiResponse } from '#libs/contracts';
import { Api, RequestContext } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { askerOf } from '../requests/asker.js';
import { BotsService } from './bots.service.js';

/** `fleet.v1.api.bots.*` */
@Controller()
export class BotsController {
  constructor(private readonly bots: BotsService) {}

  @Api('bots.create')
  async create(
    @Payload() request: ApiParsed<'bots.create'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'bots.create'>> {
    return await this.bots.create(request, askerOf(context));
  }

  @Api('bots.get')
  async get(@Payload() request: ApiParsed<'bots.get'>): Promise<ApiResponse<'bots.get'>> {
    return await this.bots.get(request);
  }

  @Api('bots.list')
  async list(@Payload() request: ApiParsed<'bots.list'>): Promise<ApiResponse<'bots.list'>> {
    return await this.bots.list(request);
  }

  @Api('bots.update')
  async update(
    @Payload() request: ApiParsed<'bots.update'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'bots.update'>> {
    return await this.bots.update(request, askerOf(context));
  }

  @Api('bots.start')
  async start(
    @Payload() request: ApiParsed<'bots.start'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'bots.start'>> {
    return await this.bots.start(request, askerOf(context));
  }

  @Api('bots.stop')
  async stop(
    @Payload() request: ApiParsed<'bots.stop'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'bots.stop'>> {
    return await this.bots.stop(request, askerOf(context));
  }

  @Api('bots.delete')
  async delete(
    @Payload() request: ApiParsed<'bots.delete'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'bots.delete'>> {
    return await this.bots.delete(request, askerOf(context));
  }
}
