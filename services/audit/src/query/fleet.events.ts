import type { FleetEvent } from '#libs/contracts';
import type { EventRow } from './stored.query.js';

/** A page must fit one NATS message (1 MiB by the server's default) with its envelope. */
const page_bytes_max = 700 * 1024;

/** As many as fit a message, the first in any case. */
export function fitting(events: FleetEvent[]): FleetEvent[] {
  let bytes = 0;
  const end = events.findIndex((event, index) => {
    bytes += Buffer.byteLength(JSON.stringify(event)) + 1;
    return index > 0 && bytes > page_bytes_max;
  });
  return end === -1 ? events : events.slice(0, end);
}

export function toFleetEvent(row: EventRow): FleetEvent {
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
    position: Number(row.position),
  };
}
