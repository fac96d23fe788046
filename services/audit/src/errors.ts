import { limits, ProblemError } from '#libs/contracts';

/** Every refusal of the audit service: each says what to do. */
export const refusal = {
  badCursor: () =>
    new ProblemError(
      'invalid_request',
      'Send `after` as `next` of the page before gave it, or leave it out.',
      {
        errors: [{ path: 'after', message: 'is not a cursor of this query' }],
      },
    ),
  beyondLog: (size: number) =>
    new ProblemError(
      'invalid_request',
      `Send a position up to ${size}: the log has no more records. If it had, it has been restored from an older backup.`,
      { errors: [{ path: 'position', message: `is beyond the log's ${size} records` }] },
    ),
  noSuchRecord: () =>
    new ProblemError('record_not_found', 'Send the id of an event, or a position below the size of the log.'),
  noSuchSize: (size: number) =>
    new ProblemError('record_not_found', `Send a size up to ${size}: the log has no more records.`),
  notCommitted: (index: number, position: number) =>
    new ProblemError('invalid_request', 'Send records as they were committed: nothing was put back.', {
      errors: [{ path: `records.${index}`, message: `is not the record that was committed at ${position}` }],
    }),
  occupied: (position: number) =>
    new ProblemError(
      'invalid_transition',
      `Another record stands at ${position}: its row has to be taken away by the owner of the database first. Nothing was put back.`,
    ),
  noPartition: (position: number, cause: unknown) =>
    new ProblemError(
      'invalid_transition',
      `There is no partition for the record at ${position}, and its month is too long ago for one to be made: the owner of the database has to attach it. Nothing was put back.`,
      { cause },
    ),
  noCheckpoint: () =>
    new ProblemError(
      'checkpoint_missing',
      'Ask again in some seconds: the next checkpoint covers it. If none comes, see log.checkpoint.',
    ),
  emptyRange: () =>
    new ProblemError('invalid_request', 'Send a `to` that is later than `from`.', {
      errors: [{ path: 'to', message: 'must be later than `from`' }],
    }),
  tooManyBuckets: (buckets: number) =>
    new ProblemError(
      'invalid_request',
      `Ask for a shorter time or a larger bucket: these are ${buckets} buckets, and at most ${limits.count_buckets_max} are counted.`,
      { errors: [{ path: 'bucket', message: `makes ${buckets} buckets` }] },
    ),
  othersCount: () => new ProblemError('unavailable', 'Try again: others are counting.'),
  queryTooCostly: (cause: unknown) =>
    new ProblemError(
      'query_too_costly',
      'Ask for less: a shorter time with `from` and `to`, one entity, type or actor.',
      { cause },
    ),
  subjectNotFound: () =>
    new ProblemError(
      'subject_not_found',
      'Send the name as events show it, such as user:ada; nothing in the log is sealed for anybody of this name, or it was erased.',
    ),
  legalHold: (hold: string | null, cause?: unknown) =>
    new ProblemError(
      'legal_hold',
      `Wait until ${hold === null ? 'the hold' : `hold ${hold}`} is released: tradefleet audit hold list.`,
      { cause },
    ),
  holdNotFound: () =>
    new ProblemError('hold_not_found', 'Send the id of a hold: tradefleet audit hold list.'),
  holdReleased: () => new ProblemError('invalid_transition', 'The hold has been released already.'),
  notDue: (_: string | null, cause?: unknown) =>
    new ProblemError('invalid_transition', 'Wait until it is due: tradefleet audit retention plan.', {
      cause,
    }),
  notArchived: (_: string | null, cause?: unknown) =>
    new ProblemError('invalid_transition', 'Run it again: the records are not those that were archived.', {
      cause,
    }),
  notCovered: (_: string | null, cause?: unknown) =>
    new ProblemError('invalid_transition', 'Wait for a checkpoint that covers the records.', { cause }),
  notTold: (_: string | null, cause?: unknown) =>
    new ProblemError(
      'invalid_transition',
      'Run it again: nothing is dropped before the log tells under a checkpoint where it is archived.',
      { cause },
    ),
  partitionGone: (_: string | null, cause?: unknown) =>
    new ProblemError('invalid_transition', 'There is nothing of this class and month.', { cause }),
  retentionNotSetUp: (obstacle: string) => new ProblemError('retention_not_set_up', obstacle),
  retentionRunning: () =>
    new ProblemError(
      'retention_running',
      'Wait until the run under way has ended: tradefleet audit retention show <id>.',
    ),
  noSuchWeek: () =>
    new ProblemError(
      'invalid_request',
      'Send an ISO week that there is, such as 2026-W47, or leave it out.',
      {
        errors: [{ path: 'week', message: 'is not a week of its year' }],
      },
    ),
  runNotFound: () =>
    new ProblemError('retention_run_not_found', 'Send the id that retention.run answered with.'),
};

/** The service must not start: it could do more to what it keeps than it needs. Names what to do. */
export class UnsafeRole extends Error {
  override readonly name = 'UnsafeRole';

  constructor(role: string, kind: 'writer' | 'reader' | 'keeper', excess: readonly string[]) {
    super(
      `The role "${role}" may do more than the ${kind} of the audit log needs: ${excess.join(', ')}. ` +
        `Give ${variables[kind]} a role of its own, other than the owner of the schemas, and let the service grant it ` +
        'what it needs (TRADEFLEET_DATABASE_OWNER_URL).',
    );
  }
}

const variables = {
  writer: 'TRADEFLEET_DATABASE_URL',
  reader: 'TRADEFLEET_READER_DATABASE_URL',
  keeper: 'TRADEFLEET_KEEPER_DATABASE_URL',
} as const;

/** The tables are missing and nobody may make them. */
export class NotMigrated extends Error {
  override readonly name = 'NotMigrated';

  constructor() {
    super(
      'The schemas "audit" and "audit_work" are not there, or not all of them. Set TRADEFLEET_DATABASE_OWNER_URL once, so that migrations can run.',
    );
  }
}
