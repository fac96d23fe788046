import { z } from 'zod';
import { limits } from '../limits.js';
import { Timestamp } from '../names.js';

/**
 * Why a message of the stream of events is put aside instead of recorded. The first that fits, in the order in which
 * they are looked at. Stable: operators search for them.
 */
export const quarantineCodes = {
  /** An attribute is missing or malformed. */
  bad_attributes: 'An attribute of the event is missing or malformed',
  /** The catalogue has no such event: an older audit service, or a made-up one. */
  unknown_type: 'There is no such type of event',
  /** NATS subject and attributes name different things. */
  wrong_subject: 'The event does not belong on its subject',
  /** The body is no JSON, or does not fit the schema of the type. */
  bad_data: 'The data does not fit the type of the event',
  /** Its source may not make events of this type, or not of this host. */
  wrong_producer: 'The source may not make this event',
  /** The milliseconds in the id, a UUID version 7, are not those of the time. */
  id_time_mismatch: 'Id and time of the event differ',
  /** More than 10 minutes ahead, or older than 400 days, by the clock of the audit service. */
  clock_off: 'The time of the event is far off',
  /** Not signed, or by none of the keys that its source may use for this incarnation. */
  bad_signature: 'The signature does not verify',
  /** No key of its source is known, and none has become known while it was waited for. */
  unknown_producer: 'The source is not known',
  /**
   * Far above every number its incarnation has used so far: recording it would make a gap of all between. Or one of an
   * incarnation that leaves out numbers all the time.
   */
  sequence_far_off: 'The number of the event is far off',
  /** An event with this id has been recorded, with another content. */
  id_conflict: 'Another event has this id',
  /** The database has no room for a value of it, such as the year 0. */
  refused_by_database: 'The database refuses the event',
  /** Put aside before there were codes. */
  unclassified: 'Put aside by an earlier version',
} as const;
export type QuarantineCode = keyof typeof quarantineCodes;
export const quarantineCodeNames = Object.keys(quarantineCodes) as [QuarantineCode, ...QuarantineCode[]];
export const QuarantineCode = z.enum(quarantineCodeNames).meta({ id: 'QuarantineCode' });

/**
 * SHA-256 of subject, headers and body, hexadecimal: the same message again has the same. The signature is in it only where
 * it is good: an event that is published again has another one.
 */
const Digest = z.string().regex(/^[0-9a-f]{64}$/);

/** A message that was put aside. Its body is in the table alone: it may hold anything. */
export const QuarantinedMessageView = z
  .strictObject({
    digest: Digest,
    /** NATS subject it came on. */
    subject: z.string(),
    code: QuarantineCode,
    /** What exactly does not fit; quotes nothing of the data. */
    reason: z.string(),
    /** As it claims; null where it names none. Only some codes vouch for it. */
    source: z.string().nullable(),
    recordedAt: Timestamp,
  })
  .meta({ id: 'QuarantinedMessage' });
export type QuarantinedMessageView = z.infer<typeof QuarantinedMessageView>;

/** Newest first. `after` is `next` of the page before. */
export const QuarantineList = z
  .strictObject({
    code: QuarantineCode.optional(),
    source: z.string().max(60).optional(),
    limit: z.int().min(1).max(limits.page_rows_max).default(limits.page_rows_default),
    after: z.string().max(200).optional(),
  })
  .meta({ id: 'QuarantineList' });
export type QuarantineList = z.infer<typeof QuarantineList>;

export const QuarantinePage = z
  .strictObject({ messages: z.array(QuarantinedMessageView), next: z.string().nullable() })
  .meta({ id: 'QuarantinePage' });
export type QuarantinePage = z.infer<typeof QuarantinePage>;

/** Data of the event that tells of a message put aside. */
export const QuarantinedEventData = z.strictObject({
  digest: Digest,
  subject: z.string().max(300),
  code: QuarantineCode,
  reason: z.string().max(500),
  source: z.string().max(60).nullable(),
});

/** Data of the event that stands for those beyond the bound of events a minute. */
export const QuarantineFloodedEventData = z.strictObject({
  /** Messages put aside without an event of their own; each is in the quarantine. */
  count: z.int().min(1),
  /** Of them, by code. */
  codes: z.partialRecord(QuarantineCode, z.int().min(1)),
});
