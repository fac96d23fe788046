import { z } from 'zod';
import { BrokerLogin, BrokerServer } from '../account/account.schema.js';
import { Parameters, Resources } from '../bot/bot.schema.js';
import { Actor, Epoch, Generation, Id, Name, Timestamp } from '../names.js';
import { RuntimeName } from '../runtime/runtime.catalogue.js';

const commandFields = {
  id: Id,
  host: Name,
  account: Name,
  allocation: Id,
  epoch: Epoch,
  /** Who asked for what led to this. */
  actor: Actor,
  issuedAt: Timestamp,
  /** By wall clock; an agent allows `command_clock_skew_ms`. */
  expiresAt: Timestamp,
};

/** Run this allocation. */
export const StartCommand = z
  .strictObject({
    ...commandFields,
    verb: z.literal('start'),
    tenant: Name,
    bot: Name,
    botGeneration: Generation,
    runtime: RuntimeName,
    parameters: Parameters,
    resources: Resources,
    server: BrokerServer,
    login: BrokerLogin,
    stopGraceMs: z.int().min(0).max(60_000),
    stageTimeoutMs: z.int().min(1000).max(3_600_000),
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
    reason: z.enum(['asked', 'account-locked', 'host-lost', 'stale-epoch']),
    graceMs: z.int().min(0).max(60_000),
  })
  .meta({ id: 'StopCommand' });
export type StopCommand = z.infer<typeof StopCommand>;

/**
 * What an agent is told, with a detached EdDSA JWS of the scheduler over the body (header `tradefleet-signature`).
 * Host, account, epoch and expiry are in the body, so the signature binds them.
 */
export const Command = z.discriminatedUnion('verb', [StartCommand, StopCommand]).meta({ id: 'Command' });
export type Command = z.infer<typeof Command>;

/** How far the clocks of a host and the scheduler may differ before commands are refused. */
export const command_clock_skew_ms = 60_000;
