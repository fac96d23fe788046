import { z } from 'zod';
import { AllocationState, Attempt, AttemptExit, EndReason } from '../allocation/allocation.schema.js';
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
    attempt: Attempt.default(1),
    /** Of the attempt before; left out when there is no room. */
    lastExit: AttemptExit.nullable().optional(),
    observation: BotObservation.nullable(),
  })
  .meta({ id: 'ObservedAllocation' });
export type ObservedAllocation = z.infer<typeof ObservedAllocation>;

/** Compact JWS of a scheduler over its term. */
const TermProof = z.string().min(1).max(1000);

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
    /** The highest term this host has seen of a leader, ever; left out: none yet. */
    termSeen: z.int().min(1).max(2_147_483_647).optional(),
    /** What the leader of that term gave as `termProof`: a host cannot make up a term. */
    termProof: TermProof.optional(),
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
    /** Shows to a later leader that there was this term, should its database have lost it. */
    termProof: TermProof.optional(),
    leaseTtlMs: z.int().min(1000).max(600_000),
    heartbeatIntervalMs: z.int().min(100).max(120_000),
    /** Renewed. What the host has and is not named here is not renewed. `ttlMs` where it is not `leaseTtlMs`. */
    leases: z
      .array(
        z.strictObject({
          allocation: Id,
          epoch: Epoch,
          ttlMs: z.int().min(1000).max(600_000).optional(),
        }),
      )
      .max(2000),
    /** Stop and remove these: ended, superseded or never known. */
    stop: z.array(Id).max(2000),
  })
  .meta({ id: 'HeartbeatAck' });
export type HeartbeatAck = z.infer<typeof HeartbeatAck>;
