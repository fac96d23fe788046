import { Controller } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { type Grant, GrantRequest, ProblemError, subjects } from '#libs/contracts';
import { Request, RequestContext } from '#libs/messaging';
import type { z } from 'zod';
import { GrantsService } from './grants.service.js';

/** The agents' door. */
@Controller()
export class GrantsController {
  constructor(private readonly grants: GrantsService) {}

  @Request(subjects.grant('*'), GrantRequest)
  async grant(
    @Payload() request: z.output<typeof GrantRequest>,
    @Ctx() context: RequestContext,
  ): Promise<Grant> {
    // NATS lets an agent publish under its own host's name only: the subject says who asks.
    if (context.hostToken !== request.host)
      throw new ProblemError('wrong_host', 'Ask for grants of your own host only.');
    return this.grants.grant(request);
  }
}
