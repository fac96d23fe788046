import { z } from 'zod';
import { BotUpdate, DesiredState, Resources } from '../bot/bot.schema.js';
import { Actor, Generation, Id, Name, PlainText, Reason, Timestamp } from '../names.js';
import { pageFields, writeFields } from '../reply.js';
import { RuntimeName, RuntimeRef, RuntimeVersion, Stage } from '../runtime/runtime.catalogue.js';

/** Bots in one rollout. */
export const rollout_bots_max = 1000;

/** Which bots; all that is named must hold. An empty one chooses every bot. */
export const RolloutSelector = z
  .strictObject({
    tenant: Name.optional(),
    bots: z.array(Name).min(1).max(rollout_bots_max).optional(),
    runtime: RuntimeName.optional(),
    /** Bots of exactly this version now; null chooses those of their host's default. */
    version: RuntimeVersion.nullable().optional(),
    /** Leaves out bots that should not run. They would be changed too, with nothing to watch. */
    onlyRunning: z.boolean().default(true),
  })
  .meta({ id: 'RolloutSelector' });
export type RolloutSelector = z.infer<typeof RolloutSelector>;

/** What to change on each of them; what is not named stays. */
export const RolloutChange = z
  .strictObject({
    version: RuntimeVersion.nullable().optional(),
    /** Single parameters; null takes one away. */
    parameters: z
      .record(
        z.string().regex(/^[A-Za-z][A-Za-z0-9_]{0,63}$/),
        z.union([PlainText(1000), z.number(), z.boolean(), z.null()]),
      )
      .refine((p) => Object.keys(p).length <= 100, 'must have at most 100 entries')
      .optional(),
    resources: Resources.partial().optional(),
    policies: BotUpdate.shape.policies,
  })
  .refine((change) => Object.values(change).some((part) => part !== undefined), 'must change something')
  .meta({ id: 'RolloutChange' });
export type RolloutChange = z.infer<typeof RolloutChange>;

/** How carefully. */
export const RolloutOptions = z
  .strictObject({
    /** Bots changed first, on their own; nothing else is touched before all of them are healthy. 0: none. */
    canary: z.int().min(0).max(100).default(1),
    /** Most bots changed, or changed back, at a time. */
    batchSize: z.int().min(1).max(100).default(5),
    /** How long a bot must be ready without a break to count as healthy. */
    minHealthyMs: z.int().min(0).max(3_600_000).default(30_000),
    /** The readiness stage that counts as ready; null for the last one of the bot's runtime. */
    healthStage: Stage.nullable().default(null),
    /** Longest a batch may take until all its bots are healthy; a bot that is not by then has failed. */
    progressDeadlineMs: z.int().min(1000).max(86_400_000).default(600_000),
    /** Gives changed bots their former definition back when the rollout fails. */
    autoRevert: z.boolean().default(true),
    /** Bots that may fail, canaries excepted, before the rollout has failed. */
    failuresTolerated: z.int().min(0).max(rollout_bots_max).default(0),
    /** Restarts in place that a bot may need until it is healthy, before it has failed. */
    restartsTolerated: z.int().min(0).max(100).default(0),
  })
  .refine((o) => o.canary <= o.batchSize, 'must have no more canaries than bots in a batch')
  .refine((o) => o.minHealthyMs < o.progressDeadlineMs, 'must have a progressDeadlineMs above minHealthyMs')
  .meta({ id: 'RolloutOptions' });
export type RolloutOptions = z.infer<typeof RolloutOptions>;

const planFields = {
  selector: RolloutSelector.prefault({}),
  change: RolloutChange,
  options: RolloutOptions.prefault({}),
};

const PlanHash = z.string().regex(/^[0-9a-f]{64}$/);

/** What a rollout would do; changes nothing. Errors: invalid_request. */
export const RolloutPlan = z.strictObject(planFields).meta({ id: 'RolloutPlan' });
export type RolloutPlan = z.infer<typeof RolloutPlan>;

export const RolloutPlannedBot = z
  .strictObject({
    bot: Name,
    tenant: Name,
    runtime: RuntimeRef,
    generation: Generation,
    desired: DesiredState,
    /** 0 are the canaries. Who is changed when may still move: a bot that somebody else changes is left out. */
    batch: z.int().min(0),
    /** Changed fields as dotted paths, values before and after. */
    fields: z.array(z.strictObject({ path: z.string(), from: z.unknown(), to: z.unknown() })),
    /** Whether a running bot is stopped and started again. */
    restarts: z.boolean(),
    /** Of another rollout that has the bot: this one cannot be started before that one has ended. */
    conflict: Id.nullable(),
  })
  .meta({ id: 'RolloutPlannedBot' });
export type RolloutPlannedBot = z.infer<typeof RolloutPlannedBot>;

/** `version` covers selector, change, options and every bot chosen. */
export const RolloutPlanned = z
  .strictObject({
    version: PlanHash,
    /** In the order in which they will be changed. */
    bots: z.array(RolloutPlannedBot),
    /** Chosen bots that are as they should be already. */
    unchanged: z.int().min(0),
    /** Runtimes and versions that the bots will need, with the ready hosts that offer them. */
    offered: z.array(z.strictObject({ runtime: RuntimeRef, hosts: z.int().min(0) })),
  })
  .meta({ id: 'RolloutPlanned' });
export type RolloutPlanned = z.infer<typeof RolloutPlanned>;

/** Carries out a plan. Errors: stale_plan, rollout_conflict, version_not_offered, invalid_transition (nothing to do). */
export const RolloutCreate = z
  .strictObject({ ...planFields, version: PlanHash, ...writeFields })
  .meta({ id: 'RolloutCreate' });
export type RolloutCreate = z.infer<typeof RolloutCreate>;

/**
 *   running <-> paused
 *      |  \        \
 *      |   \        +------------> aborted     by a person; what was changed stays
 *      |    \
 *      |     +--> reverting -----> reverted    every bot it changed has its former definition back
 *      |              \
 *      +-> succeeded   +---------> failed      and so without autoRevert, when too many bots failed
 */
export const RolloutState = z
  .enum(['running', 'paused', 'reverting', 'succeeded', 'reverted', 'aborted', 'failed'])
  .meta({ id: 'RolloutState' });
export type RolloutState = z.infer<typeof RolloutState>;
export const activeRolloutStates = ['running', 'paused', 'reverting'] as const;
export const hasEnded = (state: RolloutState): boolean =>
  !(activeRolloutStates as readonly RolloutState[]).includes(state);

/**
 *   waiting --> changing --> healthy        `skipped`: somebody else changed the bot; it is left as it is
 *                   |  \         \          `failed`: it did not become healthy, or did not come back
 *                   |   +-> failed \
 *                   +---------+-----+--> reverting --> reverted
 */
export const RolloutTargetState = z
  .enum(['waiting', 'changing', 'healthy', 'failed', 'skipped', 'reverting', 'reverted'])
  .meta({ id: 'RolloutTargetState' });
export type RolloutTargetState = z.infer<typeof RolloutTargetState>;

export const RolloutTarget = z
  .strictObject({
    bot: Name,
    state: RolloutTargetState,
    batch: z.int().min(0).nullable(),
    /** Why it failed or was left out. */
    reason: z.string().max(300).nullable(),
    /** The generation it was planned with, the one the rollout gave it, the one of its way back. */
    generation: Generation,
    changedGeneration: Generation.nullable(),
    revertedGeneration: Generation.nullable(),
    healthySince: Timestamp.nullable(),
    updatedAt: Timestamp,
  })
  .meta({ id: 'RolloutTarget' });
export type RolloutTarget = z.infer<typeof RolloutTarget>;

const rolloutFields = {
  id: Id,
  /** Ends with the rollout: `operations.wait` waits for it. */
  operation: Id,
  state: RolloutState,
  /** Why it is paused, goes back, failed or was aborted. */
  reason: z.string().max(300).nullable(),
  change: RolloutChange,
  options: RolloutOptions,
  /** The batch under way, 0 for the canaries; null before the first. */
  batch: z.int().min(0).nullable(),
  progress: z.strictObject({
    total: z.int(),
    waiting: z.int(),
    changing: z.int(),
    healthy: z.int(),
    failed: z.int(),
    skipped: z.int(),
    reverting: z.int(),
    reverted: z.int(),
  }),
  by: Actor,
  createdAt: Timestamp,
  updatedAt: Timestamp,
  endedAt: Timestamp.nullable(),
};
export const RolloutSummary = z.strictObject(rolloutFields).meta({ id: 'RolloutSummary' });
export type RolloutSummary = z.infer<typeof RolloutSummary>;
/** One change to many bots, a few at a time. */
export const Rollout = z
  .strictObject({
    ...rolloutFields,
    /** In the order in which they are changed. */
    targets: z.array(RolloutTarget).max(rollout_bots_max),
  })
  .meta({ id: 'Rollout' });
export type Rollout = z.infer<typeof Rollout>;

export const RolloutGet = z.strictObject({ id: Id }).meta({ id: 'RolloutGet' });
/** Newest first; `after` is the last id of the page before. */
export const RolloutList = z
  .strictObject({ state: RolloutState.optional(), limit: pageFields.limit, after: Id.optional() })
  .meta({ id: 'RolloutList' });
export const RolloutPage = z
  .strictObject({ rollouts: z.array(RolloutSummary), next: z.string().nullable() })
  .meta({ id: 'RolloutPage' });

/** For pause and resume. Errors: rollout_not_found, invalid_transition. */
export const RolloutHold = z
  .strictObject({ id: Id, reason: Reason.optional(), ...writeFields })
  .meta({ id: 'RolloutHold' });
/**
 * Ends it. What was changed stays, unless `revert` is asked for: then it goes back in batches.
 * Errors: rollout_not_found, invalid_transition.
 */
export const RolloutAbort = z
  .strictObject({ id: Id, reason: Reason.optional(), revert: z.boolean().default(false), ...writeFields })
  .meta({ id: 'RolloutAbort' });
