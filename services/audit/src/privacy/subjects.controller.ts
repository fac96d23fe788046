import type { ApiParsed, SubjectErased, SubjectExported } from '#libs/contracts';
import { Api, RequestContext } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { SubjectsService } from './subjects.service.js';

@Controller()
export class SubjectsController {
  constructor(private readonly subjects: SubjectsService) {}

  /** `fleet.v1.api.subjects.erase` */
  @Api('subjects.erase')
  async erase(
    @Payload() request: ApiParsed<'subjects.erase'>,
    @Ctx() { actor, traceparent }: RequestContext,
  ): Promise<SubjectErased> {
    return await this.subjects.erase(request, { actor, traceparent });
  }

  /** `fleet.v1.api.subjects.export` */
  @Api('subjects.export')
  async export(
    @Payload() request: ApiParsed<'subjects.export'>,
    @Ctx() { actor, traceparent }: RequestContext,
  ): Promise<SubjectExported> {
    return await this.subjects.export(request, { actor, traceparent });
  }
}
