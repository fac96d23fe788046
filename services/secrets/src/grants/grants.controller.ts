import { Controller } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { type Grant, GrantRequest, ProblemError, subjects } from '#libs/contracts';
import { Request, RequestContext } from '#libs/messaging';
import type { z } from 'zod';
import { RefusalsRecorder } from '#libs/persistence';
import { GrantsService } from './grants.service.js';

/** The agents' door. */
@Controller()
export class GrantsController {
  constructor(
    private readonly grants: GrantsService,
    private readonly refusals: RefusalsRecorder,
  ) {}

  @Request(subjects.grant('*'), GrantRequest)
  async grant(
    @Payload() request: z.output<typeof GrantRequest>,
    @Ctx() context: RequestContext,
  ): Promise<Grant> {
    // NATS lets an agent publish under its own host's name only: the subject says who asks.
    const asker = { actor: `host:${context.hostToken ?? ''}`, traceparent: context.traceparent };
    try {
      if (context.hostToken !== request.host)
        throw new ProblemError('wrong_host', 'Ask for grants of your own host only.');
      return await this.grants.grant(request, asker);
    } catch (error) {
      if (error instanceof ProblemError) await this.recordRefusal(request, error, asker);
      throw error;
    }
  }

  private async recordRefusal(
    request: GrantRequest,
    problem: ProblemError,
    asker: { actor: string; traceparent: string },
  ): Promise<void> {
    const { allocation, account, host, epoch } = request;
    const data = { grant: null, allocation, account, host, epoch, code: problem.code, expiresAt: null };
    await this.refusals.event({ type: 'tradefleet.grant.refused', id: allocation, data, ...asker }, problem);
  }
}
