import { AuditPublicKeys, secret } from '#libs/config';
import type { SigningKey } from '#libs/messaging';
import { logLevels } from '#libs/telemetry';
import { z } from 'zod';

/** DI token of a `GatewayConfig`. */
export const GATEWAY_CONFIG = Symbol('GatewayConfig');

/** Settings, each as `TRADEFLEET_<NAME>` or `TRADEFLEET_<NAME>_FILE`. */
export const GatewaySettings = z.strictObject({
  /** `nats://host:port`, several separated by commas. */
  natsUrl: z.array(z.string().regex(/^(nats|tls):\/\//, 'must begin with nats:// or tls://')).min(1),
  natsUser: z.string().optional(),
  natsPassword: secret(z.string()).optional(),
  /** On 127.0.0.1 and nowhere else until there are users and TLS. */
  port: z.int().min(1).max(65_535).default(7400),
  /** Whoever has it may do everything; at least 32 characters. */
  adminToken: secret(z.string().min(32).max(512)),
  /** Ed25519 key that signs this service's events; made at the first start. */
  signingKeyPath: z.string(),
  /** Public key of the audit service (JWK, several as an array): by an answer it did not sign no event is deleted. */
  auditPublicKey: AuditPublicKeys,
  /**
   * File in which this service keeps its events until the audit service has recorded them; made at the first start. On a
   * local disk, of one gateway alone.
   */
  spoolPath: z.string().min(1),
  logLevel: z.enum(logLevels).default('info'),
});

export type GatewayConfig = z.output<typeof GatewaySettings> & { readonly signingKey: SigningKey };
