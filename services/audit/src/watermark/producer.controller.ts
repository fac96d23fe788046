import type { ApiParsed, GapPage, ProducerPage } from '#libs/contracts';
import { Api } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { ProducerService } from './producer.service.js';

@Controller()
export class ProducerController {
  constructor(private readonly producers: ProducerService) {}

  /** `fleet.v1.api.producers.list` */
  @Api('producers.list')
  async list(@Payload() query: ApiParsed<'producers.list'>): Promise<ProducerPage> {
    return await this.producers.list(query);
  }

  /** `fleet.v1.api.gaps.list` */
  @Api('gaps.list')
  async gaps(@Payload() query: ApiParsed<'gaps.list'>): Promise<GapPage> {
    return await this.producers.gaps(query);
  }
}
