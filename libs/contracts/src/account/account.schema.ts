import { z } from 'zod';
import { Actor, Epoch, Generation, Name, Reason, Timestamp } from '../names.js';
import { pageFields, writeFields } from '../reply.js';

/** Number the broker knows the account by; positive, exact in a double. */
export const BrokerLogin = z.int().min(1).max(Number.MAX_SAFE_INTEGER);
/** Name of the broker's trade server as the terminal shows it. */
export const BrokerServer = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9 ._:-]{0,63}$/, 'must be a server name of 1 to 64 plain characters');

/** A trading account at a broker. At most one bot trades it at any time (I1). */
export const Account = z
  .strictObject({
    name: Name,
    tenant: Name,
    server: BrokerServer,
    login: BrokerLogin,
    /** A locked account runs nothing: its bot is stopped and none is placed. */
    locked: z.strictObject({ reason: Reason, by: Actor, at: Timestamp }).nullable(),
    /** The last epoch given out; 0 before the first allocation. */
    epoch: z.union([z.literal(0), Epoch]),
    generation: Generation,
    createdAt: Timestamp,
    createdBy: Actor,
  })
  .meta({ id: 'Account' });
export type Account = z.infer<typeof Account>;

/** Errors: tenant_not_found, account_exists (same name, or same server and login under any name). */
export const AccountCreate = z
  .strictObject({ name: Name, tenant: Name, server: BrokerServer, login: BrokerLogin, ...writeFields })
  .meta({ id: 'AccountCreate' });
export const AccountGet = z.strictObject({ name: Name }).meta({ id: 'AccountGet' });
export const AccountList = z
  .strictObject({ tenant: Name.optional(), ...pageFields })
  .meta({ id: 'AccountList' });
export const AccountPage = z
  .strictObject({ accounts: z.array(Account), next: z.string().nullable() })
  .meta({ id: 'AccountPage' });
/** Stops the account's bot and keeps it stopped. Errors: account_not_found, account_locked, stale_generation. */
export const AccountLock = z
  .strictObject({ name: Name, reason: Reason, expectedGeneration: Generation.optional(), ...writeFields })
  .meta({ id: 'AccountLock' });
/** Lets the account's bot run again. Errors: account_not_found, account_not_locked, stale_generation. */
export const AccountUnlock = z
  .strictObject({ name: Name, reason: Reason, expectedGeneration: Generation.optional(), ...writeFields })
  .meta({ id: 'AccountUnlock' });
