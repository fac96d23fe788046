import type { ApiParsed, EventCounts, EventPage, EventTailPage } from '#libs/contracts';
import { Api } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { CountService } from './count.service.js';
import { QueryService } from './query.service.js';
import { TailService } from './tail.service.js';

@Controller()
export class QueryController {
  constructor(
    private readonly queries: QueryService,
    private readonly tails: TailService,
    private readonly counts: CountService,
  ) {}

  /** `fleet.v1.api.events.query` */
  @Api('events.query')
  async query(@Payload() query: ApiParsed<'events.query'>): Promise<EventPage> {
    return await this.queries.query(query);
  }

  /** `fleet.v1.api.events.tail` */
  @Api('events.tail', { waits: true })
  async tail(@Payload() request: ApiParsed<'events.tail'>): Promise<EventTailPage> {
    return await this.tails.tail(request);
  }

  /** `fleet.v1.api.events.count` */
  @Api('events.count')
  async count(@Payload() request: ApiParsed<'events.count'>): Promise<EventCounts> {
    return await this.counts.count(request);
  }
}
