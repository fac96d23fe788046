import { z } from 'zod';
import { AllocationState, EndReason } from '../allocation/allocation.schema.js';
import { BotObservation } from '../bot/bot.schema.js';
import { Capacity } from '../host/host.schema.js';
import { Epoch, Id, Name } from '../names.js';

/** One allocation as its host sees it. */
export const ObservedAllocation = z
  .strictObject({
    id: Id,
    account: Name,
    epoch: Epoch,
    state: AllocationState,
    reason: EndReason.nullable(),
    /** How it ended, in a sentence for people. */
    detail: z.string().max(300).nullable(),
    exitCode: z.int().nullable(),
    observation: BotObservation.nullable(),
  })
  .meta({ id: 'ObservedAllocation' });
export type ObservedAllocation = z.infer<typeof ObservedAllocation>;

/**
 * Agent to scheduler every `heartbeatIntervalMs`, and at once when a lease is wanted. Signed by the host's key.
 * Errors: bad_signature, wrong_host, host_not_registered (register, then go on).
 */
export const Heartbeat = z
  .strictObject({
    host: Name,
    incarnation: Id,
    /** Grows with every heartbeat of an incarnation; an older one is refused. */
    sequence: z.int().min(1),
    capacity: Capacity,
    /** Everything the host has: what lives, and what ended since the last answered heartbeat. */
    allocations: z.array(ObservedAllocation).max(2000),
  })
  .meta({ id: 'Heartbeat' });
export type Heartbeat = z.infer<typeof Heartbeat>;

/**
 * The answer, signed by the scheduler; host, incarnation and sequence are those of the heartbeat.
 * A renewed lease lasts `leaseTtlMs` from the moment the agent *sent* the heartbeat (LEASES: less drift and margin).
 */
export const HeartbeatAck = z
  .strictObject({
    host: Name,
    incarnation: Id,
    sequence: z.int().min(1),
    /** Of the scheduler that answers; an agent refuses a lower one than it has seen. */
    term: z.int().min(1),
    leaseTtlMs: z.int().min(1000).max(600_000),
    heartbeatIntervalMs: z.int().min(100).max(120_000),
    /** Renewed. What the host has and is not named here is not renewed. */
    leases: z.array(z.strictObject({ allocation: Id, epoch: Epoch })).max(2000),
    /** Stop and remove these: ended, superseded or never known. */
    stop: z.array(Id).max(2000),
  })
  .meta({ id: 'HeartbeatAck' });
export type HeartbeatAck = z.infer<typeof HeartbeatAck>;
