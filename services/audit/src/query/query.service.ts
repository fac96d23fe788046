import type { EventPage, EventQuery, FleetEvent } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { decodeCursor, encodeCursor } from './cursor.js';
import { QueryRepository, type EventRow } from './query.repository.js';

/** A page must fit one NATS message (1 MiB by the server's default) with its envelope. */
const page_bytes_max = 700 * 1024;

@Injectable()
export class QueryService {
  constructor(private readonly repository: QueryRepository) {}

  /**
   * One page. It may hold fewer events than asked for when they are large; the end is where `next` is null. An event
   * that arrives late and is older than the page's place is not on the pages that follow.
   */
  async query({ order, limit, after, ...filters }: EventQuery): Promise<EventPage> {
    const cursor = after === undefined ? null : decodeCursor(after);
    // One more than asked for tells whether there is a next page.
    const rows = await this.repository.find(filters, order, cursor, limit + 1);
    const events = fitting(rows.slice(0, limit).map(toFleetEvent));
    const last = events.at(-1);
    const next = last === undefined || events.length === rows.length ? null : encodeCursor(last);
    return { events, next };
  }
}

/** As many as fit a message, the first in any case. */
function fitting(events: FleetEvent[]): FleetEvent[] {
  let bytes = 0;
  const end = events.findIndex((event, index) => {
    bytes += Buffer.byteLength(JSON.stringify(event)) + 1;
    return index > 0 && bytes > page_bytes_max;
  });
  return end === -1 ? events : events.slice(0, end);
}

function toFleetEvent(row: EventRow): FleetEvent {
  return {
    id: row.id,
    source: row.source,
    type: row.type,
    time: row.time.toISOString(),
    subject: `${row.entity}/${row.entity_id}`,
    sequence: Number(row.sequence),
    incarnation: row.incarnation,
    actor: row.actor,
    ...(row.traceparent === null ? {} : { traceparent: row.traceparent }),
    entity: row.entity,
    entityId: row.entity_id,
    severity: row.severity,
    data: row.data,
  };
}
