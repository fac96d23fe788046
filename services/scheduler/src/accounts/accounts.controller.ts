import type { ApiParsed, ApiResponse } from '#libs/contracts';
import { Api, RequestContext } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { askerOf } from '../requests/asker.js';
import { AccountsService } from './accounts.service.js';

/** `fleet.v1.api.accounts.*` */
@Controller()
export class AccountsController {
  constructor(private readonly accounts: AccountsService) {}

  @Api('accounts.create')
  async create(
    @Payload() request: ApiParsed<'accounts.create'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'accounts.create'>> {
    return await this.accounts.create(request, askerOf(context));
  }

  @Api('accounts.get')
  async get(@Payload() request: ApiParsed<'accounts.get'>): Promise<ApiResponse<'accounts.get'>> {
    return await this.accounts.get(request);
  }

  @Api('accounts.list')
  async list(@Payload() request: ApiParsed<'accounts.list'>): Promise<ApiResponse<'accounts.list'>> {
    return await this.accounts.list(request);
  }

  @Api('accounts.lock')
  async lock(
    @Payload() request: ApiParsed<'accounts.lock'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'accounts.lock'>> {
    return await this.accounts.lock(request, askerOf(context));
  }

  @Api('accounts.unlock')
  async unlock(
    @Payload() request: ApiParsed<'accounts.unlock'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'accounts.unlock'>> {
    return await this.accounts.unlock(request, askerOf(context));
  }
}
