import type { ApiParsed, QuarantinePage } from '#libs/contracts';
import { Api } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { QuarantineService } from './quarantine.service.js';

@Controller()
export class QuarantineController {
  constructor(private readonly quarantine: QuarantineService) {}

  /** `fleet.v1.api.quarantine.list` */
  @Api('quarantine.list')
  async list(@Payload() query: ApiParsed<'quarantine.list'>): Promise<QuarantinePage> {
    return await this.quarantine.list(query);
  }
}
