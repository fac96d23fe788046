import { z } from 'zod';
import { limits } from '../limits.js';
import { Id, Reason, Timestamp } from '../names.js';

/** How long events are kept; of a type by the catalogue. */
export const RetentionClass = z.enum(['trading', 'audit', 'error', 'session']).meta({ id: 'RetentionClass' });
export type RetentionClass = z.infer<typeof RetentionClass>;

/** Of the events' own time, in UTC. */
export const Month = z
  .string()
  .regex(/^\d{4}-(0[1-9]|1[0-2])$/, 'must be a month such as 2026-01')
  .meta({ id: 'Month', examples: ['2026-01'] });

const paging = {
  limit: z.int().min(1).max(limits.page_rows_max).default(limits.page_rows_default),
  /** `next` of the page before. */
  after: z.string().max(200).optional(),
};
const Sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const Position = z.int().min(0);

/**
 * `kept`: not due yet. `held`: due, and a hold forbids it. `waiting`: due, and no checkpoint covers its last record yet, or
 * the log's tree has not closed over it. `due`: will be archived. `archived`: will be dropped.
 */
export const PartitionState = z
  .enum(['kept', 'held', 'waiting', 'due', 'archived'])
  .meta({ id: 'PartitionState' });
export type PartitionState = z.infer<typeof PartitionState>;

/** The events of one class and month. */
export const RetentionPartition = z
  .strictObject({
    class: RetentionClass,
    month: Month,
    /** About, of a large one. */
    records: z.int().min(0),
    /** On disk, with indexes. */
    bytes: z.int().min(0),
    /** When nothing obliges to keep it any longer. */
    dueAt: Timestamp,
    state: PartitionState,
    /** Holds that forbid to drop it, due or not. */
    holds: z.array(Id),
  })
  .meta({ id: 'RetentionPartition' });
export type RetentionPartition = z.infer<typeof RetentionPartition>;

/** Changes nothing. `due`: only what is due. */
export const RetentionPlanGet = z
  .strictObject({ class: RetentionClass.optional(), due: z.boolean().default(false) })
  .meta({ id: 'RetentionPlanGet' });
export type RetentionPlanGet = z.infer<typeof RetentionPlanGet>;

export const RetentionPlan = z
  .strictObject({
    /** How many months each class is kept, counted from the end of the month that its events are of. */
    months: z.record(RetentionClass, z.int().min(1)),
    /** What keeps this from being carried out by the service that answers; null where it can be. */
    obstacle: z.string().nullable(),
    /** Oldest first, then by class. */
    partitions: z.array(RetentionPartition),
  })
  .meta({ id: 'RetentionPlan' });
export type RetentionPlan = z.infer<typeof RetentionPlan>;

/** Archives and drops all that is due, one after the other; one run at a time. */
export const RetentionRunStart = z
  .strictObject({ class: RetentionClass.optional() })
  .meta({ id: 'RetentionRunStart' });
export type RetentionRunStart = z.infer<typeof RetentionRunStart>;

/** What a run did with one partition. */
export const RetentionStep = z
  .strictObject({
    class: RetentionClass,
    month: Month,
    records: z.int().min(0),
    did: z.enum(['archived', 'dropped', 'failed']),
    /** Null of an empty partition: there was nothing to archive. */
    archive: Id.nullable(),
    /** Of a failure. */
    detail: z.string().max(300).nullable(),
  })
  .meta({ id: 'RetentionStep' });
export type RetentionStep = z.infer<typeof RetentionStep>;

export const RetentionRun = z
  .strictObject({
    id: Id,
    /** `failed`: a partition could not be archived or dropped, or the service ended meanwhile. */
    state: z.enum(['running', 'succeeded', 'failed']),
    startedAt: Timestamp,
    endedAt: Timestamp.nullable(),
    steps: z.array(RetentionStep),
    detail: z.string().max(300).nullable(),
  })
  .meta({ id: 'RetentionRun' });
export type RetentionRun = z.infer<typeof RetentionRun>;

export const RetentionRunGet = z.strictObject({ id: Id }).meta({ id: 'RetentionRunGet' });
export type RetentionRunGet = z.infer<typeof RetentionRunGet>;

/** A file with the records of a partition and what proves them against a checkpoint. */
export const Archive = z
  .strictObject({
    id: Id,
    class: RetentionClass,
    month: Month,
    records: z.int().min(1),
    first: Position,
    last: Position,
    /** In the archive folder. */
    file: z.string(),
    bytes: z.int().min(1),
    /** Of the file. */
    sha256: Sha256,
    /** Of the checkpoint that it is proved against. */
    checkpointSize: z.int().min(1),
    archivedAt: Timestamp,
    /** Null while the records are in the database, too. */
    droppedAt: Timestamp.nullable(),
  })
  .meta({ id: 'Archive' });
export type Archive = z.infer<typeof Archive>;

/** Newest first. */
export const ArchiveList = z
  .strictObject({ class: RetentionClass.optional(), ...paging })
  .meta({ id: 'ArchiveList' });
export type ArchiveList = z.infer<typeof ArchiveList>;

export const ArchivePage = z
  .strictObject({ archives: z.array(Archive), next: z.string().nullable() })
  .meta({ id: 'ArchivePage' });
export type ArchivePage = z.infer<typeof ArchivePage>;

/** What a hold covers: what is left out is not narrowed by it. */
const scope = {
  class: RetentionClass.nullable(),
  /** First and last month, both included. */
  from: Month.nullable(),
  to: Month.nullable(),
  /** Records of one person only. */
  subject: Id.nullable(),
};

/**
 * Forbids to drop and to erase what it covers, however old. Without any narrowing it covers the whole log. The reason is kept
 * in the log for good: it should not name a person.
 */
export const HoldPlace = z
  .strictObject({
    reason: Reason,
    class: RetentionClass.optional(),
    from: Month.optional(),
    to: Month.optional(),
    subject: Id.optional(),
  })
  .refine(({ from, to }) => from === undefined || to === undefined || from <= to, {
    path: ['to'],
    message: 'must not be before from',
  })
  .meta({ id: 'HoldPlace' });
export type HoldPlace = z.infer<typeof HoldPlace>;

export const HoldRelease = z.strictObject({ id: Id, reason: Reason }).meta({ id: 'HoldRelease' });
export type HoldRelease = z.infer<typeof HoldRelease>;

/** Who placed and released it is in the log. */
export const Hold = z
  .strictObject({
    id: Id,
    ...scope,
    reason: Reason,
    placedAt: Timestamp,
    releasedAt: Timestamp.nullable(),
    releaseReason: Reason.nullable(),
  })
  .meta({ id: 'Hold' });
export type Hold = z.infer<typeof Hold>;

/** Newest first. */
export const HoldList = z
  .strictObject({ released: z.boolean().default(false), ...paging })
  .meta({ id: 'HoldList' });
export type HoldList = z.infer<typeof HoldList>;

export const HoldPage = z
  .strictObject({ holds: z.array(Hold), next: z.string().nullable() })
  .meta({ id: 'HoldPage' });
export type HoldPage = z.infer<typeof HoldPage>;

/** Data of the events of holds. */
export const HoldPlacedEventData = z.strictObject({ hold: Id, ...scope, reason: Reason });
export const HoldReleasedEventData = z.strictObject({ hold: Id, reason: Reason });

/** Ranges of positions that one record of an archive tells; what is beyond is told by the next one. */
export const archive_ranges_max = 2048;

const PositionRange = z
  .tuple([Position, Position])
  .refine(([from, to]) => from <= to, 'must not end before it begins');
const partition = { class: RetentionClass, month: Month, records: z.int().min(0) };
/**
 * Data of the event that says which records an archive has: only what it says may be missing in the log. Recorded before
 * anything is dropped.
 */
export const PartitionArchivedEventData = z.strictObject({
  archive: Id,
  /** Of the log, when it was told: the same records may get a new one. */
  origin: z.string().min(1).max(100),
  ...partition,
  first: Position,
  last: Position,
  bytes: z.int().min(1),
  sha256: Sha256,
  checkpointSize: z.int().min(1),
  /** Of so many events, which together tell all ranges. */
  part: z.int().min(1),
  parts: z.int().min(1),
  /** Positions that the file has, first and last of each range, both included, in ascending order. */
  ranges: z.array(PositionRange).min(1).max(archive_ranges_max),
  /** By the key of the log over `archiveStatement`: 64 bytes (Ed25519), base64. */
  statement: z.string().regex(/^[A-Za-z0-9+/]{86}==$/, 'must be 64 bytes in base64'),
});
export type PartitionArchivedEventData = z.infer<typeof PartitionArchivedEventData>;

/**
 * What the key of the log signs of an archive: a file that has been read and proved has these records. No origin has a blank,
 * so that no checkpoint passes for it.
 */
export function archiveStatement(told: Omit<PartitionArchivedEventData, 'statement'>): Uint8Array {
  const { archive, month, records, first, last, bytes, sha256, checkpointSize, part, parts, ranges } = told;
  const lines = [
    `Archive of a log, part ${part} of ${parts}`,
    told.origin,
    archive,
    `${told.class} ${month}`,
    `${records} records from ${first} to ${last} under ${checkpointSize}`,
    `${bytes} bytes ${sha256}`,
    ranges.map(([from, to]) => `${from}-${to}`).join(' '),
  ];
  return Buffer.from(`${lines.join('\n')}\n`, 'utf8');
}

/** What the log itself tells of an archive, by position. `after` is `next` of the page before. */
export const ArchiveRecordsGet = z
  .strictObject({
    archive: Id,
    after: z
      .string()
      .regex(/^\d{1,15}$/)
      .optional(),
  })
  .meta({ id: 'ArchiveRecordsGet' });
export type ArchiveRecordsGet = z.infer<typeof ArchiveRecordsGet>;

export const ArchiveRecords = z
  .strictObject({
    records: z
      .array(
        z.strictObject({
          position: Position,
          /** The record's canonical line; kept also when its own month is archived. */
          line: z.string(),
          /** A checkpoint over it, as it was signed, and the proof that the record is under it, the nearest hash first. */
          note: z.string(),
          proof: z.array(z.string()),
        }),
      )
      .max(4),
    next: z.string().nullable(),
  })
  .meta({ id: 'ArchiveRecords' });
export type ArchiveRecords = z.infer<typeof ArchiveRecords>;

export const PartitionDroppedEventData = z.strictObject({ archive: Id.nullable(), ...partition });
export const RetentionFailedEventData = z.strictObject({
  run: Id,
  ...partition,
  detail: z.string().max(300),
});
