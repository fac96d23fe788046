import { z } from 'zod';
import { Epoch, Generation, Id, Name, Timestamp } from '../names.js';
import { Stage } from '../runtime/runtime.catalogue.js';

/**
 * States only move forward:
 *
 *   placed -> accepted -> preparing -> starting -> running -> stopping -> stopped
 *        \________\___________\___________\___________\__________\-> failed | lost
 */
export const AllocationState = z
  .enum(['placed', 'accepted', 'preparing', 'starting', 'running', 'stopping', 'stopped', 'failed', 'lost'])
  .meta({ id: 'AllocationState' });
export type AllocationState = z.infer<typeof AllocationState>;

/** While in one of these an allocation holds its account. */
export const liveStates = ['placed', 'accepted', 'preparing', 'starting', 'running', 'stopping'] as const;
export const endStates = ['stopped', 'failed', 'lost'] as const;

const rank: Record<AllocationState, number> = {
  placed: 0,
  accepted: 1,
  preparing: 2,
  starting: 3,
  running: 4,
  stopping: 5,
  stopped: 6,
  failed: 6,
  lost: 6,
};

export const isLive = (state: AllocationState): boolean => rank[state] < 6;

/** Whether `to` lies ahead of `from`. The end states are final. */
export const movesForward = (from: AllocationState, to: AllocationState): boolean => rank[to] > rank[from];

/** Why an allocation ended; stable, for people and policies. */
export const EndReason = z
  .enum([
    'asked', // a stop, a delete, an update, a drain
    'account-locked',
    'exited', // the bot ended by itself
    'out-of-memory',
    'lease-ended',
    'login-refused',
    'bad-configuration',
    'stage-timeout',
    'unhealthy', // ready once, then silent or fallen back for too long
    'image-missing',
    'grant-refused',
    'start-failed',
    'host-lost',
    'unknown-to-host', // the host does not have it
    'stale-epoch',
    'rejected', // its host did not take the command, however often it was sent
  ])
  .meta({ id: 'EndReason' });
export type EndReason = z.infer<typeof EndReason>;

/** How often a bot was begun under one allocation: 1 is the first time, the others are restarts in place. */
export const Attempt = z.int().min(1).max(1_000_000);

/** How an attempt that was followed by another ended. */
export const AttemptExit = z
  .strictObject({
    attempt: Attempt,
    reason: EndReason,
    detail: z.string().max(300).nullable(),
    exitCode: z.int().nullable(),
    at: Timestamp,
    /** When the next one begins at the earliest, by the clock of its host. */
    nextTryAt: Timestamp,
  })
  .meta({ id: 'AttemptExit' });
export type AttemptExit = z.infer<typeof AttemptExit>;

/** A bot placed on a host under an epoch. Never moves. */
export const Allocation = z
  .strictObject({
    id: Id,
    bot: Name,
    account: Name,
    tenant: Name,
    host: Name,
    epoch: Epoch,
    botGeneration: Generation,
    state: AllocationState,
    /** Furthest readiness stage of the present attempt. */
    stage: Stage.nullable(),
    attempt: Attempt,
    /** Of the attempt before; null in the first. */
    lastExit: AttemptExit.nullable(),
    reason: EndReason.nullable(),
    detail: z.string().max(300).nullable(),
    exitCode: z.int().nullable(),
    createdAt: Timestamp,
    updatedAt: Timestamp,
    runningAt: Timestamp.nullable(),
    endedAt: Timestamp.nullable(),
  })
  .meta({ id: 'Allocation' });
export type Allocation = z.infer<typeof Allocation>;
