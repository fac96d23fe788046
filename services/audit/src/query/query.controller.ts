import type { ApiParsed, EventPage } from '#libs/contracts';
import { Api } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { QueryService } from './query.service.js';

@Controller()
export class QueryController {
  constructor(private readonly queries: QueryService) {}

  /** `fleet.v1.api.events.query` */
  @Api('events.query')
  async query(@Payload() query: ApiParsed<'events.query'>): Promise<EventPage> {
    return await this.queries.query(query);
  }
}
