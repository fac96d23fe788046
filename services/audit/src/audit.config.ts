import { secret } from '#libs/config';
import { logLevels } from '#libs/telemetry';
import { z } from 'zod';

const PostgresUrl = z
  .url({ protocol: /^postgres(ql)?$/ })
  .refine(
    (url) => new URL(url).username !== '',
    'must name a user: postgres://user:password@host:port/database',
  );

/** DI token of the service's configuration. */
export const AUDIT_CONFIG = Symbol('AuditConfig');

/** `TRADEFLEET_NATS_URL`, ...; see README. */
export const AuditConfig = z.strictObject({
  /** `nats://host:port`, several separated by commas. */
  natsUrl: z.array(z.string().regex(/^(nats|tls):\/\//, 'must begin with nats:// or tls://')).min(1),
  natsUser: z.string().min(1).optional(),
  natsPassword: secret(z.string().min(1)).optional(),
  /** Of the role that records and reads; it must not be able to change or remove what is recorded. */
  databaseUrl: secret(PostgresUrl),
  /** Of the owner of the schema `audit`; when set, migrations run at the start and the role above is made. */
  databaseOwnerUrl: secret(PostgresUrl).optional(),
  databasePoolMax: z.int().min(2).max(100).default(5),
  /** Events in one transaction, at most. */
  batchEventsMax: z.int().min(1).max(4096).default(1000),
  /** Longest wait for a batch to fill. */
  batchWaitMs: z.int().min(1).max(10_000).default(20),
  logLevel: z.enum(logLevels).default('info'),
});
export type AuditConfig = z.output<typeof AuditConfig>;
