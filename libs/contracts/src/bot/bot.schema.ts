import { z } from 'zod';
import { Allocation, AllocationState } from '../allocation/allocation.schema.js';
import { Actor, Generation, Id, Name, PlainText, Reason, Timestamp } from '../names.js';
import { RuntimeName, RuntimeVersion, Stage } from '../runtime/runtime.catalogue.js';
import { pageFields, writeFields } from '../reply.js';
import { ReschedulePolicy, RestartPolicy } from './retry.schema.js';
import { Priority } from '../tenant/tenant.schema.js';

/** What a bot may use on its host; reserved when it is placed, enforced by the driver. */
export const Resources = z
  .strictObject({
    cpuMillis: z.int().min(10).max(64_000),
    memoryMiB: z.int().min(32).max(262_144),
    pids: z.int().min(8).max(4096),
  })
  .meta({ id: 'Resources' });
export type Resources = z.infer<typeof Resources>;

/** A host fits when its label satisfies the constraint. */
export const Constraint = z
  .strictObject({
    label: z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/),
    operator: z.enum(['in', 'not-in', 'exists']),
    values: z.array(PlainText(63).min(1)).max(20).default([]),
  })
  .meta({ id: 'Constraint' });
export type Constraint = z.infer<typeof Constraint>;

/** Parameters of the strategy: names to scalars; their meaning is the runtime's. */
export const Parameters = z
  .record(
    z.string().regex(/^[A-Za-z][A-Za-z0-9_]{0,63}$/),
    z.union([PlainText(1000), z.number(), z.boolean()]),
  )
  .refine((p) => Object.keys(p).length <= 100, 'must have at most 100 entries')
  .meta({ id: 'Parameters' });
export type Parameters = z.infer<typeof Parameters>;

const policyFields = {
  /** When its host cannot be reached: run elsewhere once the lease has surely ended, or wait for the host. */
  onHostLost: z.enum(['reschedule', 'wait']),
  /**
   * How long its lease lasts, where it should not last as long as others' (null): a longer one has it run on through a
   * longer outage, and its account free that much later when its host is lost. From 10 s to 10 min.
   */
  leaseTtlMs: z.int().min(10_000).max(600_000).nullable(),
  /** Longest a readiness stage may take. */
  stageTimeoutMs: z.int().min(1000).max(3_600_000),
  /**
   * Longest a bot that was ready may be silent, or say that it has fallen back, until it is ended and tried again;
   * 0: for ever. Whether it reaches its broker is for the bot to judge (it ends by itself after `stageTimeoutMs` without
   * one); this is for bots that hang, so it may be long.
   */
  unhealthyAfterMs: z
    .int()
    .min(0)
    .max(86_400_000)
    .refine((ms) => ms === 0 || ms >= 5000, 'must be 0 or at least 5000'),
  /** When it ends by itself: again on the same host. */
  restart: RestartPolicy,
  /** When that did not help: again on another host. */
  reschedule: ReschedulePolicy,
  /** From the request to stop until the kill. */
  stopGraceMs: z.int().min(0).max(60_000),
  /** Keep bots of the same tenant on different hosts. */
  antiAffinity: z.enum(['none', 'prefer', 'require']),
  /** Who goes first while bots wait for room; the tenant's priority is added to it. */
  priority: Priority,
};
export const Policies = z
  .strictObject({
    onHostLost: policyFields.onHostLost.default('reschedule'),
    leaseTtlMs: policyFields.leaseTtlMs.default(null),
    stageTimeoutMs: policyFields.stageTimeoutMs.default(120_000),
    unhealthyAfterMs: policyFields.unhealthyAfterMs.default(300_000),
    restart: policyFields.restart.prefault({}),
    reschedule: policyFields.reschedule.prefault({}),
    stopGraceMs: policyFields.stopGraceMs.default(5000),
    antiAffinity: policyFields.antiAffinity.default('none'),
    priority: policyFields.priority.default(50),
  })
  .meta({ id: 'Policies' });
export type Policies = z.infer<typeof Policies>;

export const DesiredState = z.enum(['running', 'stopped', 'deleted']).meta({ id: 'DesiredState' });
export type DesiredState = z.infer<typeof DesiredState>;

/** What a bot should be; the part a client writes. */
const specFields = {
  runtime: RuntimeName,
  /** Which of the runtime's images; null for the default of the host it runs on. */
  version: RuntimeVersion.nullable(),
  parameters: Parameters,
  resources: Resources,
  constraints: z.array(Constraint).max(10),
  policies: Policies,
};

/** What was last heard of the running bot; not stored. Amounts in `currency`. */
export const BotObservation = z
  .strictObject({
    stage: Stage.nullable(),
    equity: z.number().nullable(),
    balance: z.number().nullable(),
    currency: z.string().max(8).nullable(),
    positions: z.int().min(0).nullable(),
    ordersToday: z.int().min(0).nullable(),
    controlSequence: z.int().min(0).nullable(),
    observedAt: Timestamp,
  })
  .meta({ id: 'BotObservation' });
export type BotObservation = z.infer<typeof BotObservation>;

/** What should run for one account, and what does. */
export const Bot = z
  .strictObject({
    name: Name,
    tenant: Name,
    account: Name,
    ...specFields,
    desired: DesiredState,
    generation: Generation,
    createdAt: Timestamp,
    updatedAt: Timestamp,
    createdBy: Actor,
    status: z.strictObject({
      /** The newest allocation's state; `none` before the first, `queued` while no host can take it. */
      phase: z.union([AllocationState, z.enum(['none', 'queued'])]),
      /** Why it is queued or how the last allocation ended. */
      reason: z.string().max(300).nullable(),
      host: Name.nullable(),
      allocation: Allocation.nullable(),
      observation: BotObservation.nullable(),
      /** Failed allocations within the window of its policy. */
      failures: z.int().min(0),
      /** The earliest it is tried again: here under the same allocation, or placed anew; null when nothing is to wait for. */
      nextTryAt: Timestamp.nullable(),
      /** Since when it is not tried any more: its policy is used up. Start or change it. */
      gaveUpAt: Timestamp.nullable(),
    }),
  })
  .meta({ id: 'Bot' });
export type Bot = z.infer<typeof Bot>;

/**
 * Makes a bot and, unless `desired` is `stopped`, runs it. The tenant is the account's.
 * Errors: account_not_found, bot_exists, account_in_use, account_locked (when it should run).
 */
export const BotCreate = z
  .strictObject({
    name: Name,
    account: Name,
    runtime: RuntimeName,
    version: RuntimeVersion.nullable().default(null),
    parameters: Parameters.default({}),
    resources: Resources.partial().default({}),
    constraints: z.array(Constraint).max(10).default([]),
    policies: Policies.prefault({}),
    desired: z.enum(['running', 'stopped']).default('running'),
    ...writeFields,
  })
  .meta({ id: 'BotCreate' });
export type BotCreate = z.infer<typeof BotCreate>;

export const BotGet = z.strictObject({ name: Name }).meta({ id: 'BotGet' });
export const BotList = z
  .strictObject({ tenant: Name.optional(), host: Name.optional(), ...pageFields })
  .meta({ id: 'BotList' });
export const BotPage = z
  .strictObject({ bots: z.array(Bot), next: z.string().nullable() })
  .meta({ id: 'BotPage' });

/** Replaces the given parts; a running bot is replaced under a new epoch. Errors: bot_not_found, stale_generation. */
export const BotUpdate = z
  .strictObject({
    name: Name,
    expectedGeneration: Generation.optional(),
    version: RuntimeVersion.nullable().optional(),
    parameters: Parameters.optional(),
    resources: Resources.partial().optional(),
    constraints: z.array(Constraint).max(10).optional(),
    // Not `Policies.partial()`: that would fill in the defaults and so change what was not named.
    policies: z.strictObject(policyFields).partial().optional(),
    ...writeFields,
  })
  .meta({ id: 'BotUpdate' });
export type BotUpdate = z.infer<typeof BotUpdate>;

/** For start, stop and delete. Errors: bot_not_found, stale_generation; start: account_locked. */
export const BotChange = z
  .strictObject({
    name: Name,
    expectedGeneration: Generation.optional(),
    reason: Reason.optional(),
    ...writeFields,
  })
  .meta({ id: 'BotChange' });
export type BotChange = z.infer<typeof BotChange>;

/** The change is recorded; follow it with `operations.wait`. */
export const BotAccepted = z.strictObject({ operation: Id, bot: Bot }).meta({ id: 'BotAccepted' });
