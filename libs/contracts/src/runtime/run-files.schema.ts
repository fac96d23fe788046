import { z } from 'zod';
import { BrokerLogin } from '../account/account.schema.js';
import { BoottimeMs, Epoch, Id, Name, Timestamp } from '../names.js';
import { RuntimeName, Stage } from './runtime.catalogue.js';

/** Files in `/run/tradefleet` of a container; written whole and renamed into place. See docs/ARCHITECTURE. */
const schema = z.literal(1);

/** `bot.json`: what the bot is; no secret. */
export const BotFile = z.strictObject({
  schema,
  tenant: Name,
  bot: Name,
  account: Name,
  allocation: Id,
  epoch: Epoch,
  host: Name,
  runtime: RuntimeName,
  parameters: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  stageTimeoutMs: z.int(),
  stopGraceMs: z.int(),
});
export type BotFile = z.infer<typeof BotFile>;

/** `lease.json`: the right to run, until the deadline on CLOCK_BOOTTIME. */
export const LeaseFile = z.strictObject({
  schema,
  allocation: Id,
  epoch: Epoch,
  deadlineBoottimeMs: BoottimeMs,
  writtenBoottimeMs: BoottimeMs,
});
export type LeaseFile = z.infer<typeof LeaseFile>;

/** `control.json`: whether the bot may trade. `sequence` only grows. */
export const ControlFile = z.strictObject({
  schema,
  trading: z.enum(['enabled', 'halted', 'flatten']),
  reason: z.string().max(300),
  by: z.string().max(100),
  sequence: z.int().min(0),
});
export type ControlFile = z.infer<typeof ControlFile>;

/** `credentials.json`: 0400, removed once the bot has logged in. */
export const CredentialsFile = z.strictObject({
  schema,
  allocation: Id,
  epoch: Epoch,
  login: BrokerLogin,
  password: z.string(),
  server: z.string(),
  expiresAt: Timestamp,
});
export type CredentialsFile = z.infer<typeof CredentialsFile>;

/** `out/status.json`: written by the bot, so untrusted. Amounts in `currency`. Unknown fields are dropped. */
export const StatusFile = z.object({
  schema,
  allocation: Id,
  epoch: Epoch,
  stage: Stage,
  equity: z.number().nullable(),
  balance: z.number().nullable(),
  currency: z.string().max(8).nullable(),
  positions: z
    .array(
      z.object({
        ticket: z.int(),
        symbol: z.string().max(32),
        type: z.enum(['buy', 'sell']),
        volume: z.number(),
        priceOpen: z.number(),
        profit: z.number(),
      }),
    )
    .max(100),
  ordersToday: z.int().min(0),
  controlSequence: z.int().min(0),
  leaseDeadlineBoottimeMs: BoottimeMs.nullable(),
  writtenAt: z.string().max(40),
  error: z.string().max(300).nullable(),
});
export type StatusFile = z.infer<typeof StatusFile>;
