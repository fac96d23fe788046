import { eventTypeParts, eventTypes, type EventTypeName, type Retention, subjects } from '#libs/contracts';
import { eventProducers } from '#libs/messaging';
import type { z } from 'zod';
import { code, codes, page, table } from './markdown.js';

const kept: Record<Retention, string> = {
  trading: '7 years',
  audit: '5 years',
  error: '2 years',
  session: '1 year',
};

/** docs/generated/events.md */
export function eventsPage(): string {
  const rows = (Object.keys(eventTypes) as EventTypeName[]).map((type) => {
    const { severity, retention, data } = eventTypes[type];
    const { entity, what } = eventTypeParts(type);
    const subject = subjects.event(entity, 'ID', what).replace('.ID.', `.<${entity}>.`);
    const fields = Object.keys((data as z.ZodObject).shape);
    return [
      code(type),
      severity,
      kept[retention],
      eventProducers[type].join(', '),
      code(subject),
      codes(fields),
    ];
  });
  return page(
    'Events',
    'libs/contracts/src/event/event.catalogue.ts and libs/messaging/src/permissions/event-producers.ts',
    'Events are CloudEvents 1.0 in binary mode: the attributes are NATS headers (`ce-*`), the body is the data as plain JSON. Each is stored once on the stream `EVENTS` and once in the audit table. A producer counts its events without gaps (`ce-sequence` within `ce-incarnation`). How long an event is kept is its class; the clean-up that acts on it comes with the audit issue.',
    table(['type', 'severity', 'kept', 'from', 'subject', 'data'], rows),
  );
}
