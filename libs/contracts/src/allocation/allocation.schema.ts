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
    'image-missing',
    'grant-refused',
    'start-failed',
    'host-lost',
    'unknown-to-host', // the host does not have it
    'stale-epoch',
    'rejected', // the command did not verify
  ])
  .meta({ id: 'EndReason' });
export type EndReason = z.infer<typeof EndReason>;

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
    stage: Stage.nullable(),
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
