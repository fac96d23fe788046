import { z } from 'zod';
import { Actor, Timestamp } from '../names.js';
import { FleetEvent } from './event.schema.js';

/** Filters combine with AND. Newest first unless `order` is `asc`; `after` is the cursor of the page before. */
export const EventQuery = z
  .strictObject({
    entity: z.string().max(40).optional(),
    entityId: z.string().max(64).optional(),
    type: z.string().max(80).optional(),
    actor: Actor.optional(),
    traceId: z
      .string()
      .regex(/^[0-9a-f]{32}$/)
      .optional(),
    from: Timestamp.optional(),
    to: Timestamp.optional(),
    order: z.enum(['asc', 'desc']).default('desc'),
    limit: z.int().min(1).max(500).default(100),
    after: z.string().max(200).optional(),
  })
  .meta({ id: 'EventQuery' });
export type EventQuery = z.infer<typeof EventQuery>;

export const EventPage = z
  .strictObject({ events: z.array(FleetEvent), next: z.string().nullable() })
  .meta({ id: 'EventPage' });
export type EventPage = z.infer<typeof EventPage>;
