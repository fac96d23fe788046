import { z } from 'zod';
import { Generation, Id, Name, PlainText, PublicJwk, Reason, Timestamp } from '../names.js';
import { RuntimeName } from '../runtime/runtime.catalogue.js';
import { pageFields, writeFields } from '../reply.js';

/** What a host has, less what it keeps for itself. */
export const Capacity = z
  .strictObject({
    cpuMillis: z.int().min(0).max(10_000_000),
    memoryMiB: z.int().min(0).max(100_000_000),
    /** Most bots at once. */
    bots: z.int().min(0).max(10_000),
  })
  .meta({ id: 'Capacity' });
export type Capacity = z.infer<typeof Capacity>;

export const Labels = z
  .record(z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/), PlainText(63).min(1))
  .refine((l) => Object.keys(l).length <= 32, 'must have at most 32 entries')
  .meta({ id: 'Labels' });
export type Labels = z.infer<typeof Labels>;

/**
 *   ready <-> draining      asked by a person
 *     \  ^      /
 *      v  \    v
 *       down                 no heartbeat for longer than the lease; back with the next one
 */
export const HostState = z.enum(['ready', 'draining', 'down']).meta({ id: 'HostState' });
export type HostState = z.infer<typeof HostState>;

/** A machine with an agent. */
export const Host = z
  .strictObject({
    name: Name,
    state: HostState,
    driver: z.enum(['docker', 'process', 'simulated']),
    runtimes: z.array(RuntimeName),
    labels: Labels,
    capacity: Capacity,
    /** Reserved by live allocations. */
    reserved: Capacity,
    agentVersion: z.string().max(40),
    incarnation: Id,
    signingKey: PublicJwk,
    generation: Generation,
    registeredAt: Timestamp,
    lastHeartbeatAt: Timestamp.nullable(),
    drain: z.strictObject({ reason: Reason, by: z.string(), at: Timestamp }).nullable(),
  })
  .meta({ id: 'Host' });
export type Host = z.infer<typeof Host>;

export const HostGet = z.strictObject({ name: Name }).meta({ id: 'HostGet' });
export const HostList = z.strictObject({ ...pageFields }).meta({ id: 'HostList' });
export const HostPage = z
  .strictObject({ hosts: z.array(Host), next: z.string().nullable() })
  .meta({ id: 'HostPage' });
/** Places nothing more on the host and moves what runs there. Errors: host_not_found, invalid_transition. */
export const HostDrain = z
  .strictObject({ name: Name, reason: Reason, expectedGeneration: Generation.optional(), ...writeFields })
  .meta({ id: 'HostDrain' });
/** Ends a drain. Errors: host_not_found, invalid_transition. */
export const HostReady = z
  .strictObject({ name: Name, expectedGeneration: Generation.optional(), ...writeFields })
  .meta({ id: 'HostReady' });

/** An agent's first message, signed with `signingKey`. Errors: bad_signature, wrong_host, host_key_mismatch, host_superseded. */
export const HostRegister = z
  .strictObject({
    host: Name,
    /** New with every start of the agent. */
    incarnation: Id,
    agentVersion: z.string().min(1).max(40),
    driver: z.enum(['docker', 'process', 'simulated']),
    runtimes: z.array(RuntimeName).max(20),
    labels: Labels,
    capacity: Capacity,
    signingKey: PublicJwk,
    /** Grants for this host are sealed to it. */
    sealingKey: PublicJwk,
  })
  .meta({ id: 'HostRegister' });
export type HostRegister = z.infer<typeof HostRegister>;

/** Echoes host and incarnation, so that the signed answer fits one request only. */
export const HostRegistered = z
  .strictObject({
    host: Name,
    incarnation: Id,
    leaseTtlMs: z.int().min(1000).max(600_000),
    heartbeatIntervalMs: z.int().min(100).max(120_000),
  })
  .meta({ id: 'HostRegistered' });
export type HostRegistered = z.infer<typeof HostRegistered>;
