import { z } from 'zod';
import { Capacity } from '../host/host.schema.js';
import { Actor, Generation, Id, Name, Timestamp } from '../names.js';
import { pageFields, writeFields } from '../reply.js';

/**
 * States only move forward; the first four hold room on the target for the bot:
 *
 *   planned -> preparing -> prepared -> switching -> done
 *       \__________\____________\___________\-> cancelled | failed
 *
 * `switching` begins with the order to stop the old allocation. A move without preparation goes there from `planned`.
 */
export const MoveState = z
  .enum(['planned', 'preparing', 'prepared', 'switching', 'done', 'cancelled', 'failed'])
  .meta({ id: 'MoveState' });
export type MoveState = z.infer<typeof MoveState>;

/** While in one of these a move holds room on its target, and there is no other move of its account. */
export const liveMoveStates = ['planned', 'preparing', 'prepared', 'switching'] as const;

export const MoveReason = z.enum(['drain', 'rebalance']).meta({ id: 'MoveReason' });
export type MoveReason = z.infer<typeof MoveReason>;

/** A bot on its way from one host to another: the old allocation is stopped, then a new one runs on the target. */
export const Move = z
  .strictObject({
    id: Id,
    bot: Name,
    tenant: Name,
    account: Name,
    from: Name,
    /** The target. Once it is done: where the bot runs, which is another host if the target failed meanwhile. */
    to: Name,
    reason: MoveReason,
    state: MoveState,
    /** The target had image and volume ready before the old allocation was told to stop. */
    prepared: z.boolean(),
    /** Until when the target may prepare; null when nothing is to be prepared. */
    prepareBy: Timestamp.nullable(),
    /** From the end of the old allocation until the new one ran, by the scheduler's clock. Null until done. */
    gapMs: z.int().min(0).nullable(),
    /** Why it was cancelled, failed or went on unprepared. */
    detail: z.string().max(300).nullable(),
    operation: Id.nullable(),
    by: Actor,
    createdAt: Timestamp,
    updatedAt: Timestamp,
  })
  .meta({ id: 'Move' });
export type Move = z.infer<typeof Move>;

export const MoveGet = z.strictObject({ id: Id }).meta({ id: 'MoveGet' });
/** `host`: moves from or to it. */
export const MoveList = z
  .strictObject({
    host: Name.optional(),
    bot: Name.optional(),
    state: MoveState.optional(),
    ...pageFields,
  })
  .meta({ id: 'MoveList' });
export const MovePage = z
  .strictObject({ moves: z.array(Move), next: z.string().nullable() })
  .meta({ id: 'MovePage' });

const rebalanceFields = {
  /** Most moves in the plan. */
  movesMax: z.int().min(1).max(200).default(20),
  /** Nothing is moved while the fullest and the emptiest host differ by no more than this, in per cent of capacity. */
  tolerancePercent: z.int().min(1).max(100).default(10),
  /** Bots that have run for less than this stay where they are. */
  ranForMs: z.int().min(0).max(86_400_000).default(300_000),
};

/** How full a host is: the scarcest of CPU, memory and bots decides, in per cent of its capacity. */
export const HostLoad = z
  .strictObject({ host: Name, before: z.number().min(0), after: z.number().min(0), capacity: Capacity })
  .meta({ id: 'HostLoad' });
export type HostLoad = z.infer<typeof HostLoad>;

export const RebalanceMove = z
  .strictObject({ bot: Name, generation: Generation, from: Name, to: Name })
  .meta({ id: 'RebalanceMove' });
export type RebalanceMove = z.infer<typeof RebalanceMove>;

/** Where bots would go so that the load of the hosts is spread. Changes nothing. */
export const RebalancePlan = z.strictObject(rebalanceFields).meta({ id: 'RebalancePlan' });
/** `version` covers the request, every move and the load they were chosen by. */
export const RebalancePlanned = z
  .strictObject({
    version: z.string().regex(/^[0-9a-f]{64}$/),
    moves: z.array(RebalanceMove),
    /** Every host that takes bots, by name. */
    hosts: z.array(HostLoad),
    /** Difference of the fullest and the emptiest host, in per cent of capacity. */
    spread: z.strictObject({ before: z.number().min(0), after: z.number().min(0) }),
  })
  .meta({ id: 'RebalancePlanned' });
export type RebalancePlanned = z.infer<typeof RebalancePlanned>;

/** Carries out the plan with this version. Errors: stale_plan. */
export const Rebalance = z
  .strictObject({
    ...rebalanceFields,
    version: z.string().regex(/^[0-9a-f]{64}$/),
    /** Image and volume are ready on the target before a bot is stopped. A bot whose target cannot do it stays. */
    prepare: z.boolean().default(true),
    ...writeFields,
  })
  .meta({ id: 'Rebalance' });
export const Rebalanced = z
  .strictObject({ operation: Id, moves: z.array(RebalanceMove) })
  .meta({ id: 'Rebalanced' });
