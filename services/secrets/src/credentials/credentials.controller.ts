import { Controller } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import type { ApiParsed, ApiResponse } from '#libs/contracts';
import { Api, RequestContext, SealingKey } from '#libs/messaging';
import { CredentialsService } from './credentials.service.js';

/** Write-only for people: set a password, ask when it was set, never read it. */
@Controller()
export class CredentialsController {
  constructor(
    private readonly credentials: CredentialsService,
    private readonly sealing: SealingKey,
  ) {}

  @Api('credentials.key')
  key(): ApiResponse<'credentials.key'> {
    return { key: this.sealing.publicJwk };
  }

  @Api('credentials.set')
  async set(
    @Payload() request: ApiParsed<'credentials.set'>,
    @Ctx() context: RequestContext,
  ): Promise<ApiResponse<'credentials.set'>> {
    return this.credentials.set(request.account, request.sealed, context.actor, context.traceparent);
  }

  @Api('credentials.status')
  async status(
    @Payload() request: ApiParsed<'credentials.status'>,
  ): Promise<ApiResponse<'credentials.status'>> {
    return this.credentials.status(request.account);
  }
}
