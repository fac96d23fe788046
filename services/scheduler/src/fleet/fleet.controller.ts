import type { ApiParsed, ApiResponse } from '#libs/contracts';
import { Api, RequestContext } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { askerOf } from '../requests/asker.js';
import { FleetService } from './fleet.service.js';

/** `fleet.v1.api.fleet.*` */
@Controller()
export class FleetController {
  constructor(private readonly fleet: FleetService) {}

  @Api('fleet.plan')
  async plan(@Payload() request: ApiParsed<'fleet.plan'>): Promise<ApiResponse<'fleet.plan'>> {
    return await this.fleet.plan(request);
  }

  @Api('fleet.apply')
  async apply(
    @Payload() request: ApiParsed<'fleet.apply'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'fleet.apply'>> {
    return await this.fleet.apply(request, askerOf(context));
  }
}
