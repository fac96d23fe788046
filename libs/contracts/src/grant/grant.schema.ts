import { z } from 'zod';
import { BrokerLogin, BrokerServer } from '../account/account.schema.js';
import { Actor, Epoch, Id, Name, PublicJwk, Timestamp } from '../names.js';
import { RuntimeName } from '../runtime/runtime.catalogue.js';

/**
 * Claims of the allocation token: a compact EdDSA JWS of the scheduler, `typ: allocation+jwt`, `aud: secrets`.
 * `cnf.jwk` (RFC 7800) is the host's sealing key: a grant can be opened by that host alone.
 */
export const AllocationToken = z
  .strictObject({
    iss: z.literal('scheduler'),
    aud: z.literal('secrets'),
    /** The allocation. */
    sub: Id,
    host: Name,
    account: Name,
    tenant: Name,
    epoch: Epoch,
    runtime: RuntimeName,
    server: BrokerServer,
    login: BrokerLogin,
    cnf: z.strictObject({ jwk: PublicJwk }),
    iat: z.int(),
    exp: z.int(),
  })
  .meta({ id: 'AllocationToken' });
export type AllocationToken = z.infer<typeof AllocationToken>;

/** Agent to secrets service. Errors: grant_refused, stale_epoch, credentials_missing, bad_signature, unavailable. */
export const GrantRequest = z
  .strictObject({ host: Name, allocation: Id, account: Name, epoch: Epoch, token: z.string().max(4096) })
  .meta({ id: 'GrantRequest' });
export type GrantRequest = z.infer<typeof GrantRequest>;

/** `sealed` is a compact JWE (ECDH-ES+A256KW, A256GCM) to the host's sealing key; inside it a `Credentials`. */
export const Grant = z
  .strictObject({ id: Id, allocation: Id, epoch: Epoch, expiresAt: Timestamp, sealed: z.string().max(8192) })
  .meta({ id: 'Grant' });
export type Grant = z.infer<typeof Grant>;

/** What a bot logs in with; exists in the clear only in memory and on the container's tmpfs. */
export const Credentials = z.strictObject({
  login: BrokerLogin,
  password: z.string().min(1).max(256),
  server: BrokerServer,
});
export type Credentials = z.infer<typeof Credentials>;

/** Scheduler to secrets: is the allocation live under this epoch, now? */
export const AllocationCheck = z
  .strictObject({ allocation: Id, account: Name, host: Name, epoch: Epoch })
  .meta({ id: 'AllocationCheck' });
export const AllocationChecked = z.strictObject({ live: z.boolean() }).meta({ id: 'AllocationChecked' });

/** The key a client seals a password to before it sends it. */
export const CredentialKeyGet = z.strictObject({}).meta({ id: 'CredentialKeyGet' });
export const CredentialKey = z.strictObject({ key: PublicJwk }).meta({ id: 'CredentialKey' });

/**
 * Stores an account's password. `sealed` is a compact JWE (ECDH-ES+A256KW, A256GCM) to the secrets service's key;
 * inside it a `SealedPassword`. The password the account has already changes nothing, so that a repeated request needs
 * no key. Errors: account_not_found, invalid_request.
 */
export const CredentialSet = z
  .strictObject({ account: Name, sealed: z.string().min(1).max(8192) })
  .meta({ id: 'CredentialSet' });
/** What HTTP takes instead: the password itself, over loopback or TLS only; the gateway seals it. */
export const CredentialPassword = z
  .strictObject({ password: z.string().min(1).max(256) })
  .meta({ id: 'CredentialPassword' });
/** What is inside `CredentialSet.sealed`. */
export const SealedPassword = z.strictObject({ account: Name, password: z.string().min(1).max(256) });
export const CredentialStatusGet = z.strictObject({ account: Name }).meta({ id: 'CredentialStatusGet' });
/** Never the password itself. Errors: credentials_missing. */
export const CredentialStatus = z
  .strictObject({
    account: Name,
    version: z.int().min(1),
    updatedAt: Timestamp,
    updatedBy: Actor,
    lastGrantedAt: Timestamp.nullable(),
  })
  .meta({ id: 'CredentialStatus' });
