import type { ApiParsed, ApiResponse } from '#libs/contracts';
import { Api, RequestContext } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { ArchiveRecordsService } from './archive-records.service.js';
import { HoldsService } from './holds.service.js';
import { RetentionService } from './retention.service.js';

@Controller()
export class RetentionController {
  constructor(
    private readonly retention: RetentionService,
    private readonly holds: HoldsService,
    private readonly records: ArchiveRecordsService,
  ) {}

  /** `fleet.v1.api.retention.plan` */
  @Api('retention.plan')
  async plan(@Payload() request: ApiParsed<'retention.plan'>): Promise<ApiResponse<'retention.plan'>> {
    return await this.retention.plan(request);
  }

  /** `fleet.v1.api.retention.run` */
  @Api('retention.run')
  async run(
    @Payload() request: ApiParsed<'retention.run'>,
    @Ctx() { actor, traceparent }: RequestContext,
  ): Promise<ApiResponse<'retention.run'>> {
    return await this.retention.start(request, { actor, traceparent });
  }

  /** `fleet.v1.api.retention.get` */
  @Api('retention.get')
  async get(@Payload() { id }: ApiParsed<'retention.get'>): Promise<ApiResponse<'retention.get'>> {
    return await this.retention.get(id);
  }

  /** `fleet.v1.api.archives.records` */
  @Api('archives.records')
  async told(@Payload() request: ApiParsed<'archives.records'>): Promise<ApiResponse<'archives.records'>> {
    return await this.records.list(request);
  }

  /** `fleet.v1.api.archives.list` */
  @Api('archives.list')
  async archives(@Payload() request: ApiParsed<'archives.list'>): Promise<ApiResponse<'archives.list'>> {
    return await this.retention.archives(request);
  }

  /** `fleet.v1.api.holds.place` */
  @Api('holds.place')
  async place(
    @Payload() request: ApiParsed<'holds.place'>,
    @Ctx() { actor, traceparent }: RequestContext,
  ): Promise<ApiResponse<'holds.place'>> {
    return await this.holds.place(request, { actor, traceparent });
  }

  /** `fleet.v1.api.holds.release` */
  @Api('holds.release')
  async release(
    @Payload() request: ApiParsed<'holds.release'>,
    @Ctx() { actor, traceparent }: RequestContext,
  ): Promise<ApiResponse<'holds.release'>> {
    return await this.holds.release(request, { actor, traceparent });
  }

  /** `fleet.v1.api.holds.list` */
  @Api('holds.list')
  async list(@Payload() request: ApiParsed<'holds.list'>): Promise<ApiResponse<'holds.list'>> {
    return await this.holds.list(request);
  }
}
