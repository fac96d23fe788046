import type {
  ApiParsed,
  LogCheckpointPage,
  LogConsistency,
  LogInclusion,
  LogRecords,
  LogRestored,
  LogState,
} from '#libs/contracts';
import { Api, RequestContext } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { RestoreService } from '../self-check/restore.service.js';
import { ProofService } from './proof.service.js';
import { RecordService } from './record.service.js';

/** The log as something that is proved. */
@Controller()
export class LogController {
  constructor(
    private readonly proofs: ProofService,
    private readonly log: RecordService,
    private readonly restoring: RestoreService,
  ) {}

  /** `fleet.v1.api.log.checkpoint` */
  @Api('log.checkpoint')
  async checkpoint(): Promise<LogState> {
    return await this.proofs.state();
  }

  /** `fleet.v1.api.log.checkpoints` */
  @Api('log.checkpoints')
  async checkpoints(@Payload() request: ApiParsed<'log.checkpoints'>): Promise<LogCheckpointPage> {
    return await this.proofs.list(request);
  }

  /** `fleet.v1.api.log.inclusion` */
  @Api('log.inclusion')
  async inclusion(@Payload() request: ApiParsed<'log.inclusion'>): Promise<LogInclusion> {
    return await this.proofs.inclusion(request);
  }

  /** `fleet.v1.api.log.consistency` */
  @Api('log.consistency')
  async consistency(@Payload() request: ApiParsed<'log.consistency'>): Promise<LogConsistency> {
    return await this.proofs.consistency(request);
  }

  /** `fleet.v1.api.log.records` */
  @Api('log.records')
  async records(@Payload() request: ApiParsed<'log.records'>): Promise<LogRecords> {
    return await this.log.records(request);
  }

  /** `fleet.v1.api.log.restore` */
  @Api('log.restore')
  async restore(
    @Payload() request: ApiParsed<'log.restore'>,
    @Ctx() { actor, traceparent }: RequestContext,
  ): Promise<LogRestored> {
    return await this.restoring.restore(request, { actor, traceparent });
  }
}
