import { z } from 'zod';
import { limits } from '../limits.js';
import { Id, PublicJwk, Timestamp } from '../names.js';

/** Bounds of what is read from the log at once. */
export const logLimits = {
  /** Records on one page; a page also ends before it outgrows a message. */
  records_max: 1000,
  records_default: 500,
  /** Records that are put back at once. */
  restore_max: 100,
} as const;

/** SHA-256, base64 with padding. */
const Hash = z.string().regex(/^[A-Za-z0-9+/]{43}=$/, 'must be 32 bytes in base64');
/** Several of them, 32 bytes each, in one base64 text. */
const Hashes = z.string().regex(/^[A-Za-z0-9+/]*={0,2}$/, 'must be base64');
/** Index of a record: from 0, without gaps, in the order in which the records were committed. */
const Position = z.int().min(0);
/** How many records: those at the positions below it. */
const Size = z.int().min(0);
const origin = z.string();

/** What the log has committed itself to: its first `size` records have this root. */
export const LogCheckpoint = z
  .strictObject({
    origin,
    size: Size,
    root: Hash,
    /** As it was signed: a C2SP tlog-checkpoint. */
    note: z.string(),
    createdAt: Timestamp,
  })
  .meta({ id: 'LogCheckpoint' });
export type LogCheckpoint = z.infer<typeof LogCheckpoint>;

/** Why no more checkpoints are made: what the database holds does not go on from the last one. */
export const LogDivergence = z
  .strictObject({
    /**
     * `shorter`: the witness has seen more records than there are. `other-records`: not the same ones. `witness-damaged`: the
     * files of the witness contradict themselves.
     */
    what: z.enum(['shorter', 'other-records', 'witness-damaged']),
    /** Records that the database has. */
    size: Size,
    /** Records that the witness has seen. */
    witnessSize: Size,
    detail: z.string().max(300),
  })
  .meta({ id: 'LogDivergence' });
export type LogDivergence = z.infer<typeof LogDivergence>;

/** Something of the log is not as it was committed: found by reading it again, stretch by stretch. */
export const LogDamage = z
  .strictObject({
    /**
     * `row-missing`: a record is neither there nor archived. `row-changed`: it is another one. `row-inserted`: a position has
     * two. `tile-missing`, `tile-changed`: hashes of the tree, which can be made again from records or witness.
     */
    what: z.enum(['row-missing', 'row-changed', 'row-inserted', 'tile-missing', 'tile-changed']),
    /** The first one. */
    position: Position,
    /** How many positions from there to the end of its stretch are concerned; of a tile those it stands for. */
    records: z.int().min(1),
    detail: z.string().max(300),
  })
  .meta({ id: 'LogDamage' });
export type LogDamage = z.infer<typeof LogDamage>;

export const LogCheckpointGet = z.strictObject({}).meta({ id: 'LogCheckpointGet' });
export type LogCheckpointGet = z.infer<typeof LogCheckpointGet>;

/** How far the log is, and how far it is vouched for. */
export const LogState = z
  .strictObject({
    origin,
    /** Records there are. */
    size: Size,
    /** The last one; null before the first. */
    checkpoint: LogCheckpoint.nullable(),
    /** Null as it should be. */
    diverged: LogDivergence.nullable(),
    /** The first damage that is known of; null as it should be. */
    damage: LogDamage.nullable(),
    /** Checkpoints are signed with it. Whoever verifies should have it from somewhere else. */
    key: PublicJwk,
    /** The same for other tools: C2SP signed-note, `<name>+<key id>+<key>`. */
    verifierKey: z.string(),
  })
  .meta({ id: 'LogState' });
export type LogState = z.infer<typeof LogState>;

/** By size; the newest first unless `order` is `asc`. `after` is `next` of the page before. */
export const LogCheckpointList = z
  .strictObject({
    order: z.enum(['asc', 'desc']).default('desc'),
    limit: z.int().min(1).max(limits.page_rows_max).default(limits.page_rows_default),
    after: z
      .string()
      .regex(/^\d{1,15}$/)
      .optional(),
  })
  .meta({ id: 'LogCheckpointList' });
export type LogCheckpointList = z.infer<typeof LogCheckpointList>;

export const LogCheckpointPage = z
  .strictObject({ checkpoints: z.array(LogCheckpoint), next: z.string().nullable() })
  .meta({ id: 'LogCheckpointPage' });
export type LogCheckpointPage = z.infer<typeof LogCheckpointPage>;

/** Either `id`, of an event, or `position`. Without `size` that of the last checkpoint. */
export const LogInclusionGet = z
  .strictObject({ id: Id.optional(), position: Position.optional(), size: Size.optional() })
  .refine(({ id, position }) => (id === undefined) !== (position === undefined), {
    path: ['id'],
    message: 'give either id or position',
  })
  .meta({ id: 'LogInclusionGet' });
export type LogInclusionGet = z.infer<typeof LogInclusionGet>;

/** That a record is in the log (RFC 9162, section 2.1.3). */
export const LogInclusion = z
  .strictObject({
    origin,
    position: Position,
    size: Size,
    /** SHA-256 of 0x00 and the record's line. */
    leaf: Hash,
    /** At most 53, the nearest first. */
    proof: z.array(Hash),
    /** Of the log of `size` records. */
    root: Hash,
    /** The record; null when it is archived. */
    line: z.string().nullable(),
    /** The checkpoint of this size, as it was signed; null when none was made. */
    note: z.string().nullable(),
  })
  .meta({ id: 'LogInclusion' });
export type LogInclusion = z.infer<typeof LogInclusion>;

/** Without `to` that of the last checkpoint. */
export const LogConsistencyGet = z
  .strictObject({ from: Size, to: Size.optional() })
  .meta({ id: 'LogConsistencyGet' });
export type LogConsistencyGet = z.infer<typeof LogConsistencyGet>;

/** That the log of `to` records begins with the log of `from` records (RFC 9162, section 2.1.4). */
export const LogConsistency = z
  .strictObject({
    origin,
    from: Size,
    to: Size,
    fromRoot: Hash,
    toRoot: Hash,
    proof: z.array(Hash),
    /** The checkpoint of the size `to`, as it was signed; null when none was made. */
    note: z.string().nullable(),
  })
  .meta({ id: 'LogConsistency' });
export type LogConsistency = z.infer<typeof LogConsistency>;

export const LogRecordsGet = z
  .strictObject({
    from: Position.default(0),
    limit: z.int().min(1).max(logLimits.records_max).default(logLimits.records_default),
    /** Whether the hashes are wanted that a tree from `from` on begins with. */
    frontier: z.boolean().default(false),
  })
  .meta({ id: 'LogRecordsGet' });
export type LogRecordsGet = z.infer<typeof LogRecordsGet>;

/** What stands at a position. A position that is left out has nothing: a record was removed. */
export const LogEntry = z
  .strictObject({
    position: Position,
    /** The record's canonical line, whose bytes the tree is made of; null when it is archived. */
    line: z.string().nullable(),
    /** Of a record that only an archive's file has: which archive, and the record's hash. */
    archived: z.strictObject({ archive: Id, leaf: Hash }).nullable(),
  })
  .meta({ id: 'LogEntry' });
export type LogEntry = z.infer<typeof LogEntry>;

/** Records in the order of the log. */
export const LogRecords = z
  .strictObject({
    origin,
    /** Records the log has, when this was read. */
    size: Size,
    entries: z.array(LogEntry).max(logLimits.records_max),
    /** `from` of the next page; null at the end. */
    next: Position.nullable(),
    /** Roots of the complete subtrees of `[0, from)`, the largest first. */
    frontier: Hashes.nullable(),
    /** At the end: rows at positions that the log has not reached, as nothing but another hand makes them. At most 16. */
    beyond: z.array(LogEntry).max(16),
  })
  .meta({ id: 'LogRecords' });
export type LogRecords = z.infer<typeof LogRecords>;

/** Records as an export has them, to be put back where they are gone. */
export const LogRestore = z
  .strictObject({
    records: z
      .array(z.strictObject({ position: Position, line: z.string().min(1).max(1_000_000) }))
      .min(1)
      .max(logLimits.restore_max),
  })
  .meta({ id: 'LogRestore' });
export type LogRestore = z.infer<typeof LogRestore>;

export const LogRestored = z
  .strictObject({
    restored: z.int().min(0),
    /** Were there already. */
    present: z.int().min(0),
    /** Are in an archive, where they stay. */
    archived: z.int().min(0),
  })
  .meta({ id: 'LogRestored' });
export type LogRestored = z.infer<typeof LogRestored>;
