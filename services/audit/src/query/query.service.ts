import type { EventPage, EventQuery } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { decodeCursor, encodeCursor } from './cursor.js';
import { fitting, toFleetEvent } from './fleet.events.js';
import { People } from './people.js';
import { QueryRepository } from './query.repository.js';

@Injectable()
export class QueryService {
  constructor(
    private readonly repository: QueryRepository,
    private readonly people: People,
  ) {}

  /**
   * One page. It may hold fewer events than asked for when they are large; the end is where `next` is null. All pages
   * are of the log as it was at the first one, so that an event that is recorded late is neither missed nor seen twice.
   */
  async query({ order, limit, after, ...asked }: EventQuery): Promise<EventPage> {
    const place = after === undefined ? null : decodeCursor(after);
    const filter = await this.people.stored(asked);
    if (filter === null) return { events: [], next: null };
    // One more than asked for tells whether there is a next page.
    const { rows, size } = await this.repository.find(filter, { after: place, order }, limit + 1);
    const shown = await this.people.open(rows.slice(0, limit));
    const events = fitting(shown.map(toFleetEvent));
    const last = events.at(-1);
    const isEnd = last === undefined || events.length === rows.length;
    return { events, next: isEnd ? null : encodeCursor({ ...last, size }) };
  }
}
