import { z } from 'zod';
import { AllocationState, Attempt, EndReason } from '../allocation/allocation.schema.js';
import { LogDamage, LogDivergence } from '../audit/log.schema.js';
import { GapEventData } from '../audit/producer.schema.js';
import { SubjectErasedEventData, SubjectExportedEventData } from '../audit/privacy.schema.js';
import { QuarantinedEventData, QuarantineFloodedEventData } from '../audit/quarantine.schema.js';
import {
  HoldPlacedEventData,
  HoldReleasedEventData,
  PartitionArchivedEventData,
  PartitionDroppedEventData,
  RetentionFailedEventData,
} from '../audit/retention.schema.js';
import { LabelName, Labels } from '../host/host.schema.js';
import { Epoch, Generation, Id, Name, PublicJwk } from '../names.js';
import { MoveReason } from '../move/move.schema.js';
import { OperationKind, OperationState } from '../operation/operation.schema.js';
import { RolloutState } from '../rollout/rollout.schema.js';
import { Stage } from '../runtime/runtime.catalogue.js';
import {
  RefusalsSuppressedEventData,
  UnusualActivityEventData,
  WeeklyReportEventData,
} from '../security/security.schema.js';
import { Priority, Quotas } from '../tenant/tenant.schema.js';

export type Severity = 'info' | 'notice' | 'warning' | 'critical';
/** How long an event is kept: trading 7 years, audit 5, errors 2, sessions 1. */
export type Retention = 'trading' | 'audit' | 'error' | 'session';

interface EventType<T extends z.ZodType = z.ZodType> {
  readonly severity: Severity;
  readonly retention: Retention;
  readonly data: T;
  /**
   * Fields of the data that are a person's: the log holds them sealed under that person's key. Of the one who acted, or, when
   * nobody known did, of the one whom the first of them stands for. The actor is sealed of every type.
   */
  readonly personal: readonly string[];
}
const type = <T extends z.ZodType>(
  severity: Severity,
  retention: Retention,
  data: T,
  personal: readonly string[] = [],
): EventType<T> => ({ severity, retention, data, personal });

const tenant = z.strictObject({ tenant: Name, generation: Generation });
const account = z.strictObject({
  tenant: Name,
  account: Name,
  generation: Generation,
  reason: z.string().max(300).nullable(),
});
const bot = z.strictObject({
  tenant: Name,
  bot: Name,
  account: Name,
  generation: Generation,
  operation: Id.nullable(),
  reason: z.string().max(300).nullable(),
});
/** Data of every allocation event; binds host, account and epoch, so that a signed one fits nowhere else. */
export const AllocationEventData = z.strictObject({
  allocation: Id,
  tenant: Name,
  bot: Name,
  account: Name,
  host: Name,
  epoch: Epoch,
  state: AllocationState,
  stage: Stage.nullable(),
  attempt: Attempt.default(1),
  reason: EndReason.nullable(),
  detail: z.string().max(300).nullable(),
  exitCode: z.int().nullable(),
});
export type AllocationEventData = z.infer<typeof AllocationEventData>;

const host = z.strictObject({ host: Name, incarnation: Id, reason: z.string().max(300).nullable() });
/** A container, network, volume or image that a host found and that no live allocation of it owns. */
const stray = z.strictObject({
  host: Name,
  /**
   * `unknown`: of this host by its labels, its allocation is not. `unreadable`: of this host, its labels are not
   * understood. `foreign`: called like a bot, but not this fleet's; never touched.
   */
  kind: z.enum(['unknown', 'unreadable', 'foreign']),
  /** The engine's id for it. */
  container: z.string().max(128),
  /** Its name, if it has one. */
  name: z.string().max(300).nullable(),
  action: z.enum(['killed', 'removed', 'reported']),
  detail: z.string().max(300),
});
/** What a pass of a host's housekeeping has removed, or with `dryRun` would have. */
const swept = z.strictObject({
  host: Name,
  dryRun: z.boolean(),
  networks: z.int().min(0),
  volumes: z.int().min(0),
  images: z.int().min(0),
  /** Names of the volumes and images among them, the first 50. */
  names: z.array(z.string().max(300)).max(50),
});
/** The token is in no event. */
const invitation = z.strictObject({
  host: Name,
  invitation: Id,
  replaceKey: z.boolean(),
  expiresAt: z.string(),
});
/** A bot on its way from one host to another. `to` of `tradefleet.bot.moved` is where it runs. */
const move = z.strictObject({
  move: Id,
  tenant: Name,
  bot: Name,
  account: Name,
  from: Name,
  to: Name,
  why: MoveReason,
  operation: Id.nullable(),
  /** The target had image and volume ready before the old allocation was told to stop. */
  prepared: z.boolean(),
  detail: z.string().max(300).nullable(),
});
/** What a host made ready, or could not; of the host, so that a signed one fits no other. */
const preparation = z.strictObject({
  move: Id,
  host: Name,
  account: Name,
  /** Of the failure; null when it is ready. */
  code: z.enum(['image-missing', 'prepare-failed', 'expired', 'too-many']).nullable(),
  detail: z.string().max(300).nullable(),
  tookMs: z.int().min(0),
});
/** What a drain has come to. */
const drain = z.strictObject({
  host: Name,
  reason: z.string().max(300),
  total: z.int().min(0),
  /** Still on the host. */
  left: z.int().min(0),
  onDeadline: z.enum(['keep', 'stop']),
  tookMs: z.int().min(0),
});
const operation = z.strictObject({
  operation: Id,
  kind: OperationKind,
  state: OperationState,
  total: z.int(),
  failed: z.int(),
});
const command = z.strictObject({
  host: Name,
  command: Id.nullable(),
  allocation: Id.nullable(),
  verb: z.string().max(32).nullable(),
  code: z.string().max(64),
  detail: z.string().max(300),
});
const grant = z.strictObject({
  grant: Id.nullable(),
  allocation: Id,
  account: Name,
  host: Name,
  epoch: Epoch,
  code: z.string().max(64).nullable(),
  expiresAt: z.string().nullable(),
});

const refusedRequest = z.strictObject({
  /** Of the API, as `bots.stop`; the method and path of a route that is no operation. */
  operation: z.string().max(80),
  code: z.string().max(64),
  detail: z.string().max(1000),
});
const rollout = z.strictObject({
  rollout: Id,
  operation: Id,
  state: RolloutState,
  /** Of the batch that began or is under way, 0 for the canaries. */
  batch: z.int().nullable(),
  /** Bots of the batch that begins; at most 100. */
  bots: z.array(Name).max(100),
  total: z.int(),
  healthy: z.int(),
  failed: z.int(),
  skipped: z.int(),
  reverted: z.int(),
  reason: z.string().max(300).nullable(),
});
/**
 * Every event there is, as `tradefleet.<entity>.<what>`. A name is never used again for something else; fields may
 * be added, never taken away.
 */
export const eventTypes = {
  'tradefleet.tenant.created': type('notice', 'audit', tenant),
  // What it is now; a manifest changes neither.
  'tradefleet.tenant.updated': type(
    'notice',
    'audit',
    tenant.extend({ quotas: Quotas.optional(), priority: Priority.optional() }),
  ),
  'tradefleet.account.created': type('notice', 'audit', account),
  'tradefleet.account.locked': type('warning', 'audit', account),
  'tradefleet.account.unlocked': type('warning', 'audit', account),
  'tradefleet.bot.created': type('notice', 'audit', bot),
  'tradefleet.bot.updated': type('notice', 'audit', bot),
  'tradefleet.bot.start-requested': type('notice', 'audit', bot),
  'tradefleet.bot.stop-requested': type('notice', 'audit', bot),
  'tradefleet.bot.delete-requested': type('notice', 'audit', bot),
  'tradefleet.bot.deleted': type('notice', 'audit', bot),
  'tradefleet.bot.queued': type('warning', 'audit', bot),
  'tradefleet.bot.gave-up': type(
    'critical',
    'trading',
    // How the last allocation ended, and how many had failed within the window.
    bot.extend({ failures: z.int(), end: EndReason.nullable(), exitCode: z.int().nullable() }),
  ),
  'tradefleet.allocation.placed': type('info', 'trading', AllocationEventData),
  'tradefleet.allocation.accepted': type('info', 'trading', AllocationEventData),
  'tradefleet.allocation.preparing': type('info', 'trading', AllocationEventData),
  'tradefleet.allocation.starting': type('info', 'trading', AllocationEventData),
  'tradefleet.allocation.running': type('info', 'trading', AllocationEventData),
  'tradefleet.allocation.stage-reached': type(
    'info',
    'trading',
    // Since the stage before, or since the container was started; null when the agent was away meanwhile.
    AllocationEventData.extend({ tookMs: z.int().min(0).nullable().default(null) }),
  ),
  // `attempt` is the one that follows; reason, detail and exit code are of the one that has ended.
  'tradefleet.allocation.restarting': type(
    'warning',
    'trading',
    AllocationEventData.extend({ delayMs: z.int().min(0).max(86_400_000) }),
  ),
  'tradefleet.allocation.adopted': type('notice', 'trading', AllocationEventData),
  'tradefleet.allocation.stopping': type('info', 'trading', AllocationEventData),
  'tradefleet.allocation.stopped': type('info', 'trading', AllocationEventData),
  'tradefleet.allocation.failed': type('warning', 'trading', AllocationEventData),
  'tradefleet.allocation.lost': type('critical', 'trading', AllocationEventData),
  'tradefleet.host.registered': type('notice', 'audit', host.extend({ signingKey: PublicJwk })),
  'tradefleet.host.invited': type('warning', 'audit', invitation),
  'tradefleet.host.join-refused': type(
    'critical',
    'audit',
    z.strictObject({ host: Name, code: z.string().max(64), detail: z.string().max(300) }),
  ),
  'tradefleet.host.removed': type('warning', 'audit', host),
  'tradefleet.host.labelled': type(
    'notice',
    'audit',
    host.extend({ set: Labels, unset: z.array(LabelName) }),
  ),
  'tradefleet.host.overcommitted': type('warning', 'audit', host),
  'tradefleet.host.draining': type('notice', 'audit', host),
  'tradefleet.host.ready': type('notice', 'audit', host),
  'tradefleet.host.down': type('critical', 'audit', host),
  'tradefleet.host.stray-found': type('warning', 'audit', stray),
  'tradefleet.host.swept': type('notice', 'audit', swept),
  'tradefleet.host.drain-overdue': type('warning', 'audit', drain),
  'tradefleet.host.drained': type('notice', 'audit', drain),
  /** A host knows what an earlier leader did and the database does not: an older state of it has come back. */
  'tradefleet.leader.restore-noticed': type(
    'critical',
    'audit',
    z.strictObject({ host: Name, term: z.int(), termSeen: z.int(), epochsSkipped: z.int() }),
  ),
  'tradefleet.move.planned': type('info', 'audit', move),
  'tradefleet.move.prepared': type('info', 'audit', preparation),
  'tradefleet.move.prepare-failed': type('warning', 'audit', preparation),
  'tradefleet.move.switching': type('info', 'audit', move),
  'tradefleet.move.cancelled': type('notice', 'audit', move),
  'tradefleet.move.failed': type('warning', 'audit', move),
  'tradefleet.bot.moved': type(
    'notice',
    'trading',
    move.extend({
      /** From the end of the old allocation until the new one ran, by the scheduler's clock. */
      gapMs: z.int().min(0),
    }),
  ),
  'tradefleet.rollout.created': type('notice', 'audit', rollout),
  'tradefleet.rollout.batch-started': type('notice', 'audit', rollout),
  'tradefleet.rollout.paused': type('notice', 'audit', rollout),
  'tradefleet.rollout.resumed': type('notice', 'audit', rollout),
  'tradefleet.rollout.reverting': type('warning', 'audit', rollout),
  'tradefleet.rollout.reverted': type('warning', 'audit', rollout),
  'tradefleet.rollout.succeeded': type('notice', 'audit', rollout),
  'tradefleet.rollout.failed': type('critical', 'audit', rollout),
  'tradefleet.rollout.aborted': type('warning', 'audit', rollout),
  'tradefleet.operation.accepted': type('info', 'audit', operation),
  'tradefleet.operation.ended': type('info', 'audit', operation),
  'tradefleet.command.rejected': type('critical', 'audit', command),
  'tradefleet.message.rejected': type('critical', 'audit', command),
  'tradefleet.request.refused': type('warning', 'audit', refusedRequest),
  /** Of an operation that only reads. */
  'tradefleet.request.read-refused': type('notice', 'session', refusedRequest),
  /** Stands for refused requests that have no event of their own, because there were too many. */
  'tradefleet.request.refusals-suppressed': type('warning', 'audit', RefusalsSuppressedEventData),
  'tradefleet.grant.issued': type('notice', 'audit', grant),
  'tradefleet.grant.refused': type('warning', 'audit', grant),
  'tradefleet.credential.set': type(
    'notice',
    'audit',
    z.strictObject({ account: Name, version: z.int().min(1) }),
  ),
  'tradefleet.session.refused': type(
    'warning',
    'session',
    z.strictObject({ method: z.string().max(10), path: z.string().max(200), ip: z.string().max(64) }),
    ['ip'],
  ),
  /** A message of the stream of events that was put aside instead of recorded. */
  'tradefleet.audit.quarantined': type('warning', 'audit', QuarantinedEventData),
  'tradefleet.audit.quarantine-flooded': type('warning', 'audit', QuarantineFloodedEventData),
  /** Messages that had been put aside long ago were deleted. */
  'tradefleet.audit.quarantine-pruned': type('notice', 'audit', z.strictObject({ messages: z.int().min(1) })),
  /** The database does not go on from what the witness of the log has seen. */
  'tradefleet.audit.log-diverged': type(
    'critical',
    'audit',
    LogDivergence.extend({ origin: z.string().max(100) }),
  ),
  /** A stretch of the log is not as it was committed; told of the first ones, until they are mended. */
  'tradefleet.audit.log-damaged': type('critical', 'audit', LogDamage),
  /** What was damaged is as it was committed again. */
  'tradefleet.audit.log-mended': type('notice', 'audit', LogDamage),
  /** Lost hashes of the tree were made again; they fit what had been signed. */
  'tradefleet.audit.tiles-rebuilt': type(
    'warning',
    'audit',
    z.strictObject({ tiles: z.int().min(1), level: z.int().min(0), index: z.int().min(0) }),
  ),
  /** Records that were lost were put back, each where it was committed. */
  'tradefleet.audit.records-restored': type(
    'warning',
    'audit',
    z.strictObject({ records: z.int().min(1), first: z.int().min(0), last: z.int().min(0) }),
  ),
  /** Numbers of a producer did not come with the others; they are asked for again. */
  'tradefleet.audit.gap-found': type('warning', 'audit', GapEventData),
  'tradefleet.audit.gap-refilled': type('notice', 'audit', GapEventData),
  'tradefleet.audit.gap-lost': type('critical', 'audit', GapEventData),
  /** More of something than is usual: once for each rule, who and window. */
  'tradefleet.security.unusual-activity': type('critical', 'audit', UnusualActivityEventData),
  'tradefleet.security.weekly-report': type('notice', 'audit', WeeklyReportEventData),
  /** The key of a person was destroyed: its values in the log are readable to nobody any more. */
  'tradefleet.audit.subject-erased': type('warning', 'audit', SubjectErasedEventData),
  'tradefleet.audit.subject-exported': type('notice', 'audit', SubjectExportedEventData),
  'tradefleet.audit.hold-placed': type('notice', 'audit', HoldPlacedEventData),
  'tradefleet.audit.hold-released': type('warning', 'audit', HoldReleasedEventData),
  'tradefleet.audit.partition-archived': type('notice', 'audit', PartitionArchivedEventData),
  'tradefleet.audit.partition-dropped': type('warning', 'audit', PartitionDroppedEventData),
  'tradefleet.audit.retention-failed': type('warning', 'audit', RetentionFailedEventData),
} as const satisfies Record<string, EventType>;

export type EventTypeName = keyof typeof eventTypes;
export type EventData<T extends EventTypeName> = z.infer<(typeof eventTypes)[T]['data']>;
export const isEventType = (name: string): name is EventTypeName => Object.hasOwn(eventTypes, name);

/** `tradefleet.allocation.running` -> entity `allocation`, what `running`. */
export function eventTypeParts(name: EventTypeName): { entity: string; what: string } {
  const [, entity = '', what = ''] = name.split('.');
  return { entity, what };
}
