import { z } from 'zod';
import { Generation, Id, Name, PlainText, PublicJwk, Reason, Timestamp } from '../names.js';
import { RuntimeRef } from '../runtime/runtime.catalogue.js';
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

export const LabelName = z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/);
const labelRecord = z.record(LabelName, PlainText(63).min(1));
export const Labels = labelRecord
  .refine((l) => Object.keys(l).length <= 32, 'must have at most 32 entries')
  .meta({ id: 'Labels' });
export type Labels = z.infer<typeof Labels>;

/** Largest number of labels a host can have: its own and those an operator gave it. */
export const host_labels_max = 64;

/** What a machine is, as its agent measured it. Strings are for people; amounts are before anything is kept back. */
export const HostFingerprint = z
  .strictObject({
    /** Name and release of the kernel. */
    kernel: PlainText(100).min(1),
    /** Of the processor, as Node names it: `x64`, `arm64`. */
    arch: PlainText(20).min(1),
    /** What runs the bots, with its version. */
    engine: PlainText(100).min(1),
    agentVersion: PlainText(40).min(1),
    cpuMillis: z.int().min(0).max(10_000_000),
    memoryMiB: z.int().min(0).max(100_000_000),
    /** Of the file system that has the agent's state, and how much of it was free. */
    diskMiB: z.int().min(0).max(1_000_000_000_000),
    diskFreeMiB: z.int().min(0).max(1_000_000_000_000),
    /** Kept back for the machine itself; capacity is what is left. */
    reservation: z.strictObject({ cpuMillis: z.int().min(0), memoryMiB: z.int().min(0) }),
  })
  .meta({ id: 'HostFingerprint' });
export type HostFingerprint = z.infer<typeof HostFingerprint>;

/** 256 random bits, base64url: lets one agent join as one host, once. Shown once; only its SHA-256 is stored. */
export const JoinToken = z
  .string()
  .regex(/^[A-Za-z0-9_-]{43}$/, 'must be the token that hosts.invite has answered')
  .meta({ id: 'JoinToken' });

/**
 *   ready <-> draining      asked by a person
 *     \  ^      /
 *      v  \    v
 *       down                 no heartbeat for longer than the lease; back with the next one
 */
export const HostState = z.enum(['ready', 'draining', 'down']).meta({ id: 'HostState' });
export type HostState = z.infer<typeof HostState>;

/** How far a drain is. A bot counts as moved when nothing of it is on the host any more. */
export const Drain = z
  .strictObject({
    reason: Reason,
    by: z.string(),
    at: Timestamp,
    deadlineAt: Timestamp.nullable(),
    /** What becomes of bots that no other host can take by the deadline. */
    onDeadline: z.enum(['keep', 'stop']),
    prepare: z.boolean(),
    parallel: z.int().min(1),
    /** Bots on the host when the drain began; of these those that are gone, on their way, and not yet. */
    total: z.int().min(0),
    moved: z.int().min(0),
    moving: z.int().min(0),
    waiting: z.int().min(0),
    /** When nothing was left; null while something is. */
    endedAt: Timestamp.nullable(),
  })
  .meta({ id: 'Drain' });
export type Drain = z.infer<typeof Drain>;

/** A machine with an agent. */
export const Host = z
  .strictObject({
    name: Name,
    state: HostState,
    driver: z.enum(['docker', 'process', 'simulated']),
    /** What may be run there, its versions included. */
    runtimes: z.array(RuntimeRef),
    /** What placement sees: the agent's labels, and over them those an operator gave it. */
    labels: labelRecord.refine(
      (l) => Object.keys(l).length <= host_labels_max,
      `must have at most ${host_labels_max} entries`,
    ),
    /** Of `labels`, those an operator gave it. */
    operatorLabels: Labels,
    capacity: Capacity,
    /** Reserved by live allocations. */
    reserved: Capacity,
    /** More is reserved than it has (it has shrunk): what runs goes on, nothing more is placed. */
    overcommitted: z.boolean(),
    /** Null until its agent has told. */
    fingerprint: HostFingerprint.nullable(),
    agentVersion: z.string().max(40),
    incarnation: Id,
    signingKey: PublicJwk,
    generation: Generation,
    registeredAt: Timestamp,
    lastHeartbeatAt: Timestamp.nullable(),
    drain: Drain.nullable(),
  })
  .meta({ id: 'Host' });
export type Host = z.infer<typeof Host>;

export const HostGet = z.strictObject({ name: Name }).meta({ id: 'HostGet' });
export const HostList = z.strictObject({ ...pageFields }).meta({ id: 'HostList' });
export const HostPage = z
  .strictObject({ hosts: z.array(Host), next: z.string().nullable() })
  .meta({ id: 'HostPage' });
/**
 * Places nothing more on the host and moves what runs there, each bot once its place elsewhere is ready. Errors:
 * host_not_found, invalid_transition.
 */
export const HostDrain = z
  .strictObject({
    name: Name,
    reason: Reason,
    /** By when it should be empty; without it, it takes the time it takes. */
    deadlineMs: z
      .int()
      .min(1000)
      .max(7 * 86_400_000)
      .optional(),
    /**
     * What becomes of bots that are still there at the deadline. `keep`: they go on trading there, are moved when there
     * is room, and the operation fails with their names. `stop`: they are stopped, also where no other host can take
     * them; those are queued. A bot that is stopped leaves its positions unwatched, so that has to be asked for.
     */
    onDeadline: z.enum(['keep', 'stop']).default('keep'),
    /** Image and volume are ready on the target before a bot is stopped; false stops it at once. */
    prepare: z.boolean().default(true),
    /** Bots on their way at a time. */
    parallel: z.int().min(1).max(100).default(5),
    expectedGeneration: Generation.optional(),
    ...writeFields,
  })
  .meta({ id: 'HostDrain' });
/** Ends a drain. Errors: host_not_found, invalid_transition. */
export const HostReady = z
  .strictObject({ name: Name, expectedGeneration: Generation.optional(), ...writeFields })
  .meta({ id: 'HostReady' });

/**
 * Lets an agent join the fleet as this host: answers a token that is good once, until `expiresAt`. A new invitation
 * takes the place of an open one. With `replaceKey` the host is known already and gets a new key (its machine was
 * installed anew): it must be down, with nothing living on it. Errors: host_not_found, invalid_transition.
 */
export const HostInvite = z
  .strictObject({
    name: Name,
    /** How long the token is good. */
    ttlMs: z
      .int()
      .min(10_000)
      .max(7 * 86_400_000)
      .default(900_000),
    replaceKey: z.boolean().default(false),
    ...writeFields,
  })
  .meta({ id: 'HostInvite' });
/** `token` is null when the same request is sent again: it is shown once. Then invite again, under another key. */
export const HostInvited = z
  .strictObject({ host: Name, token: JoinToken.nullable(), expiresAt: Timestamp })
  .meta({ id: 'HostInvited' });
/** Forgets a host for good: it must be down, with nothing living on it. Errors: host_not_found, invalid_transition. */
export const HostRemove = z
  .strictObject({
    name: Name,
    reason: Reason.optional(),
    expectedGeneration: Generation.optional(),
    ...writeFields,
  })
  .meta({ id: 'HostRemove' });
/** Gives a host labels that win over its agent's, and takes such away again. Errors: host_not_found. */
export const HostLabel = z
  .strictObject({
    name: Name,
    set: Labels.default({}),
    unset: z.array(LabelName).max(32).default([]),
    expectedGeneration: Generation.optional(),
    ...writeFields,
  })
  .meta({ id: 'HostLabel' });

/** An agent's first message, signed with `signingKey`. Errors: bad_signature, wrong_host, join_token_invalid, host_key_mismatch, host_superseded. */
export const HostRegister = z
  .strictObject({
    host: Name,
    /** New with every start of the agent. */
    incarnation: Id,
    /** Of the machine, new with every boot; a copy of a machine has another one. Left out where the system tells none. */
    bootId: PlainText(64).min(1).optional(),
    agentVersion: z.string().min(1).max(40),
    driver: z.enum(['docker', 'process', 'simulated']),
    runtimes: z.array(RuntimeRef).max(200),
    labels: Labels,
    capacity: Capacity,
    signingKey: PublicJwk,
    /** Grants for this host are sealed to it. */
    sealingKey: PublicJwk,
    fingerprint: HostFingerprint.optional(),
    /** For a host that is not known yet, or is to get a new key. */
    joinToken: JoinToken.optional(),
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
