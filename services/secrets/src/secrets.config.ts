import { AuditPublicKeys, secret } from '#libs/config';
import { logLevels } from '#libs/telemetry';
import { PublicJwk } from '#libs/contracts';
import { z } from 'zod';

/** DI token of the service's configuration. */
export const SECRETS_CONFIG = Symbol('SecretsConfig');

/** Settings, each as `TRADEFLEET_<NAME>` or `TRADEFLEET_<NAME>_FILE`. */
export const SecretsConfig = z.strictObject({
  /** `nats://host:port`, several separated by commas. */
  natsUrl: z.array(z.string().regex(/^(nats|tls):\/\//, 'must begin with nats:// or tls://')).min(1),
  natsUser: z.string().optional(),
  natsPassword: secret(z.string()).optional(),
  /** Of the owner of the schema `secrets`. */
  databaseUrl: secret(z.string()),
  databasePoolMax: z.int().min(1).max(50).default(5),
  /** Made at the first start where there is none; back it up apart from the database. */
  masterKeyPath: z.string(),
  /** X25519 key that clients seal passwords to; made at the first start. */
  sealingKeyPath: z.string(),
  /** Ed25519 key that signs this service's events; made at the first start. */
  signingKeyPath: z.string(),
  /** The scheduler's public key (JWK): allocation tokens are verified with it. */
  schedulerPublicKey: PublicJwk,
  /** Public key of the audit service (JWK, several as an array): by an answer it did not sign no event is deleted. */
  auditPublicKey: AuditPublicKeys,
  /** How long a host may use a grant before it must ask again. */
  grantTtlMs: z.int().min(1000).max(3_600_000).default(60_000),
  /** Events of refusals a second at most, so that bad requests cannot fill the database. */
  refusalEventsPerSecond: z.int().min(1).max(1000).default(20),
  logLevel: z.enum(logLevels).default('info'),
});
export type SecretsConfig = z.output<typeof SecretsConfig>;
