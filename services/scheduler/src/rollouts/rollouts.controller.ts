import type { ApiParsed, ApiResponse } from '#libs/contracts';
import { Api, RequestContext } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { askerOf } from '../requests/asker.js';
import { RolloutsService } from './rollouts.service.js';

/** `fleet.v1.api.rollouts.*` */
@Controller()
export class RolloutsController {
  constructor(private readonly rollouts: RolloutsService) {}

  @Api('rollouts.plan')
  async plan(@Payload() request: ApiParsed<'rollouts.plan'>): Promise<ApiResponse<'rollouts.plan'>> {
    return await this.rollouts.plan(request);
  }

  @Api('rollouts.create')
  async create(
    @Payload() request: ApiParsed<'rollouts.create'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'rollouts.create'>> {
    return await this.rollouts.create(request, askerOf(context));
  }

  @Api('rollouts.get')
  async get(@Payload() request: ApiParsed<'rollouts.get'>): Promise<ApiResponse<'rollouts.get'>> {
    return await this.rollouts.get(request);
  }

  @Api('rollouts.list')
  async list(@Payload() request: ApiParsed<'rollouts.list'>): Promise<ApiResponse<'rollouts.list'>> {
    return await this.rollouts.list(request);
  }

  @Api('rollouts.pause')
  async pause(
    @Payload() request: ApiParsed<'rollouts.pause'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'rollouts.pause'>> {
    return await this.rollouts.pause(request, askerOf(context));
  }

  @Api('rollouts.resume')
  async resume(
    @Payload() request: ApiParsed<'rollouts.resume'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'rollouts.resume'>> {
    return await this.rollouts.resume(request, askerOf(context));
  }

  @Api('rollouts.abort')
  async abort(
    @Payload() request: ApiParsed<'rollouts.abort'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'rollouts.abort'>> {
    return await this.rollouts.abort(request, askerOf(context));
  }
}
