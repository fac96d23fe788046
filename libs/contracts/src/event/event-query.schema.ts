import { z } from 'zod';
import { limits } from '../limits.js';
import { Actor, PlainText, Timestamp } from '../names.js';
import { FleetEvent } from './event.schema.js';

const Count = z.int().min(0);

/** Which events; those that are given must all fit. */
const whatFields = {
  entity: PlainText(40).optional(),
  entityId: PlainText(64).optional(),
  type: PlainText(80).optional(),
  /** Who made the event, such as `/scheduler` or `/agent/host-a`. */
  source: PlainText(60).optional(),
  /** As severe, or more. */
  severity: FleetEvent.shape.severity.optional(),
  /** Class that says how long an event is kept. */
  retention: z.enum(['trading', 'audit', 'error', 'session']).optional(),
  /** Words of its `detail` and `reason`, in any order: `"a phrase"` in quotes, `or` between, `-` before one not wanted. */
  text: PlainText(200).min(1).optional(),
  actor: Actor.optional(),
  traceId: z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .optional(),
};

/** When it happened. `from` is in the range, `to` is not. */
const timeFields = { from: Timestamp.optional(), to: Timestamp.optional() };

/** All that events are chosen by. */
export const EventFilter = z.strictObject({ ...whatFields, ...timeFields }).meta({ id: 'EventFilter' });
export type EventFilter = z.infer<typeof EventFilter>;

/**
 * Newest first unless `order` is `asc`; `after` is the cursor of the page before. All pages show the log as it was when
 * the first one was made: what is recorded meanwhile, even of an earlier time, shifts none of them and is on none.
 */
export const EventQuery = z
  .strictObject({
    ...whatFields,
    ...timeFields,
    order: z.enum(['asc', 'desc']).default('desc'),
    limit: z.int().min(1).max(limits.page_rows_max).default(limits.page_rows_default),
    after: z.string().max(200).optional(),
  })
  .meta({ id: 'EventQuery' });
export type EventQuery = z.infer<typeof EventQuery>;

export const EventPage = z
  .strictObject({ events: z.array(FleetEvent), next: z.string().nullable() })
  .meta({ id: 'EventPage' });
export type EventPage = z.infer<typeof EventPage>;

/**
 * What comes, in the order in which it is recorded: whoever asks again with `next` sees every event once, late ones too.
 * Without `position` from now on. Answers as soon as something fits, or when `timeoutMs` has passed.
 */
export const EventTail = z
  .strictObject({
    ...whatFields,
    /** The first position in the log that is wanted; 0 is its beginning. */
    position: Count.optional(),
    limit: z.int().min(1).max(limits.page_rows_max).default(limits.page_rows_default),
    timeoutMs: z.int().min(0).max(limits.tail_wait_ms_max).default(0),
  })
  .meta({ id: 'EventTail' });
export type EventTail = z.infer<typeof EventTail>;

export const EventTailPage = z
  .strictObject({
    events: z.array(FleetEvent),
    /** The `position` to ask for next. */
    next: Count,
    /** Records in the log: nothing more is there yet when `next` has come to it. */
    size: Count,
  })
  .meta({ id: 'EventTailPage' });
export type EventTailPage = z.infer<typeof EventTailPage>;

/** Counts events over time, in whole buckets of UTC. Without `to` until now; without `from` 60 minutes, 48 hours or 30 days. */
export const EventCount = z
  .strictObject({
    ...whatFields,
    ...timeFields,
    bucket: z.enum(['minute', 'hour', 'day']).default('hour'),
    by: z.enum(['type', 'severity', 'source', 'entity']).optional(),
    /** Groups shown, those with most events first. */
    groups: z.int().min(1).max(limits.count_groups_max).default(10),
  })
  .meta({ id: 'EventCount' });
export type EventCount = z.infer<typeof EventCount>;

export const EventCounts = z
  .strictObject({
    bucket: EventCount.shape.bucket.unwrap(),
    /** Where the first bucket begins: the range asked for, widened to whole buckets. */
    from: Timestamp,
    /** Where the last bucket ends. */
    to: Timestamp,
    total: Count,
    /** One number a bucket. */
    counts: z.array(Count).max(limits.count_buckets_max),
    groups: z
      .array(
        z.strictObject({
          group: z.string(),
          total: Count,
          counts: z.array(Count).max(limits.count_buckets_max),
        }),
      )
      .max(limits.count_groups_max),
    /** Groups beyond those, and their events. */
    others: z.strictObject({ groups: Count, total: Count }),
  })
  .meta({ id: 'EventCounts' });
export type EventCounts = z.infer<typeof EventCounts>;

/** One JSON object a line, or RFC 4180. */
export const ExportFormat = z.enum(['ndjson', 'csv']).meta({ id: 'ExportFormat' });
export type ExportFormat = z.infer<typeof ExportFormat>;

/** All events that fit, oldest first, as the log is when it is asked. Over HTTP only. */
export const EventExport = z
  .strictObject({ ...whatFields, ...timeFields, format: ExportFormat.default('ndjson') })
  .meta({ id: 'EventExport' });
export type EventExport = z.infer<typeof EventExport>;
