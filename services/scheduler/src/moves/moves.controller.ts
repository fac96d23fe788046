import type { ApiParsed, ApiResponse } from '#libs/contracts';
import { Api, RequestContext } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { askerOf } from '../requests/asker.js';
import { MovesService } from './moves.service.js';
import { RebalanceService } from './rebalance.service.js';

/** `fleet.v1.api.moves.*`, `fleet.v1.api.fleet.rebalance*` */
@Controller()
export class MovesController {
  constructor(
    private readonly moves: MovesService,
    private readonly rebalances: RebalanceService,
  ) {}

  @Api('moves.get')
  async get(@Payload() request: ApiParsed<'moves.get'>): Promise<ApiResponse<'moves.get'>> {
    return await this.moves.get(request);
  }

  @Api('moves.list')
  async list(@Payload() request: ApiParsed<'moves.list'>): Promise<ApiResponse<'moves.list'>> {
    return await this.moves.list(request);
  }

  @Api('fleet.rebalance-plan')
  async plan(
    @Payload() request: ApiParsed<'fleet.rebalance-plan'>,
  ): Promise<ApiResponse<'fleet.rebalance-plan'>> {
    return await this.rebalances.plan(request);
  }

  @Api('fleet.rebalance')
  async rebalance(
    @Payload() request: ApiParsed<'fleet.rebalance'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'fleet.rebalance'>> {
    return await this.rebalances.carryOut(request, askerOf(context));
  }
}
