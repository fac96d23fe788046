import { z } from 'zod';
import { BrokerLogin, BrokerServer } from '../account/account.schema.js';
import { Parameters, Resources } from '../bot/bot.schema.js';
import { RestartPolicy } from '../bot/retry.schema.js';
import { Actor, Epoch, Generation, Id, Name, Timestamp } from '../names.js';
import { RuntimeName, RuntimeVersion } from '../runtime/runtime.catalogue.js';

const fields = {
  id: Id,
  host: Name,
  account: Name,
  /** Who asked for what led to this. */
  actor: Actor,
  issuedAt: Timestamp,
  /** By wall clock; an agent allows `command_clock_skew_ms`. */
  expiresAt: Timestamp,
};
const commandFields = { ...fields, allocation: Id, epoch: Epoch };

/** Run this allocation. */
export const StartCommand = z
  .strictObject({
    ...commandFields,
    verb: z.literal('start'),
    tenant: Name,
    bot: Name,
    botGeneration: Generation,
    runtime: RuntimeName,
    /** Which of the runtime's images; null for the host's default. */
    version: RuntimeVersion.nullable().default(null),
    parameters: Parameters,
    resources: Resources,
    server: BrokerServer,
    login: BrokerLogin,
    stopGraceMs: z.int().min(0).max(60_000),
    stageTimeoutMs: z.int().min(1000).max(3_600_000),
    /** What the agent does when the bot ends by itself. A command of an older scheduler asks for nothing. */
    restart: RestartPolicy.prefault({ attempts: 0 }),
    /** See `Policies.unhealthyAfterMs`. */
    unhealthyAfterMs: z.int().min(0).max(86_400_000).default(0),
    /** The scheduler's signed allocation token (compact JWS, see `AllocationToken`), shown to the secrets service. */
    token: z.string().max(4096),
  })
  .meta({ id: 'StartCommand' });
export type StartCommand = z.infer<typeof StartCommand>;

/** Stop this allocation and remove its container. One that is not there counts as stopped. */
export const StopCommand = z
  .strictObject({
    ...commandFields,
    verb: z.literal('stop'),
    reason: z.enum(['asked', 'account-locked', 'host-lost', 'stale-epoch', 'rejected']),
    graceMs: z.int().min(0).max(60_000),
  })
  .meta({ id: 'StopCommand' });
export type StopCommand = z.infer<typeof StopCommand>;

/**
 * Make ready what a bot will need that is about to move here: the image and the named volume of its account. Starts
 * nothing, takes no name `bot-<account>`, and gives no right to run anything: that needs a start command, which has an
 * epoch. Answered by `tradefleet.move.prepared` or `tradefleet.move.prepare-failed`. Good until `expiresAt`.
 */
export const PrepareCommand = z
  .strictObject({
    ...fields,
    verb: z.literal('prepare'),
    /** Of the move that it is for; the same move is prepared once. */
    move: Id,
    tenant: Name,
    bot: Name,
    runtime: RuntimeName,
    version: RuntimeVersion.nullable().default(null),
    resources: Resources,
  })
  .meta({ id: 'PrepareCommand' });
export type PrepareCommand = z.infer<typeof PrepareCommand>;

/**
 * What an agent is told, with a detached EdDSA JWS of the scheduler over the body (header `tradefleet-signature`).
 * Host, account, expiry and, where there is an allocation, its epoch are in the body, so the signature binds them.
 */
export const Command = z
  .discriminatedUnion('verb', [StartCommand, StopCommand, PrepareCommand])
  .meta({ id: 'Command' });
export type Command = z.infer<typeof Command>;

/** How far the clocks of a host and the scheduler may differ before commands are refused. */
export const command_clock_skew_ms = 60_000;
