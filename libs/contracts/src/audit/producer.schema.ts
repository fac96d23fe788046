import { z } from 'zod';
import { EventAttributes } from '../event/event.schema.js';
import { limits } from '../limits.js';
import { Id, Timestamp } from '../names.js';
import { SequenceRange } from './watermark.schema.js';

const Source = EventAttributes.shape.source;
const paging = {
  limit: z.int().min(1).max(limits.page_rows_max).default(limits.page_rows_default),
  /** `next` of the page before. */
  after: z.string().max(200).optional(),
};

/** How far the events of one incarnation of a producer are recorded. */
export const Producer = z
  .strictObject({
    source: Source,
    incarnation: Id,
    /** Every event up to this one is committed; 0: not even the first. */
    upTo: z.int().min(0),
    /** The highest number that came. Above `upTo` means that something between is missing or on its way. */
    highest: z.int().min(0),
    /** Not there, between `upTo` and `highest`; the first 32 ranges. */
    missing: z.array(SequenceRange).max(32),
    firstSeenAt: Timestamp,
    /** When the last of its events was committed. */
    changedAt: Timestamp,
  })
  .meta({ id: 'Producer' });
export type Producer = z.infer<typeof Producer>;

/** By source, of each the newest incarnation first. */
export const ProducerList = z
  .strictObject({
    source: Source.optional(),
    /** Only those of which something is missing. */
    incomplete: z.boolean().default(false),
    ...paging,
  })
  .meta({ id: 'ProducerList' });
export type ProducerList = z.infer<typeof ProducerList>;

export const ProducerPage = z
  .strictObject({ producers: z.array(Producer), next: z.string().nullable() })
  .meta({ id: 'ProducerPage' });
export type ProducerPage = z.infer<typeof ProducerPage>;

/** `open`: asked for. `refilled`: all of it came. `lost`: some or all of it is gone for good. */
export const GapState = z.enum(['open', 'refilled', 'lost']).meta({ id: 'GapState' });
export type GapState = z.infer<typeof GapState>;

/** Numbers of a producer that did not come with the others. */
export const Gap = z
  .strictObject({
    id: Id,
    source: Source,
    incarnation: Id,
    first: z.int().min(1),
    last: z.int().min(1),
    state: GapState,
    /** Events in it that are gone for good. */
    lost: z.int().min(0),
    detail: z.string().nullable(),
    foundAt: Timestamp,
    closedAt: Timestamp.nullable(),
  })
  .meta({ id: 'Gap' });
export type Gap = z.infer<typeof Gap>;

/** Newest first. */
export const GapList = z
  .strictObject({ source: Source.optional(), state: GapState.optional(), ...paging })
  .meta({ id: 'GapList' });
export type GapList = z.infer<typeof GapList>;

export const GapPage = z
  .strictObject({ gaps: z.array(Gap), next: z.string().nullable() })
  .meta({ id: 'GapPage' });
export type GapPage = z.infer<typeof GapPage>;

/** Data of the events that tell of a gap. */
export const GapEventData = z.strictObject({
  gap: Id,
  source: Source,
  incarnation: Id,
  first: z.int().min(1),
  last: z.int().min(1),
  events: z.int().min(1),
  detail: z.string().max(300).nullable(),
});
