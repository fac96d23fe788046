import type { ApiParsed, ApiResponse } from '#libs/contracts';
import { Api } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { OperationsService } from './operations.service.js';

/** `fleet.v1.api.operations.*` */
@Controller()
export class OperationsController {
  constructor(private readonly operations: OperationsService) {}

  @Api('operations.get')
  async get(@Payload() request: ApiParsed<'operations.get'>): Promise<ApiResponse<'operations.get'>> {
    return await this.operations.get(request);
  }

  @Api('operations.wait', { waits: true })
  async wait(@Payload() request: ApiParsed<'operations.wait'>): Promise<ApiResponse<'operations.wait'>> {
    return await this.operations.wait(request);
  }

  @Api('operations.list')
  async list(@Payload() request: ApiParsed<'operations.list'>): Promise<ApiResponse<'operations.list'>> {
    return await this.operations.list(request);
  }
}
