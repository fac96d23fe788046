import { AuditPublicKeys, secret } from '#libs/config';
import { logLevels } from '#libs/telemetry';
import { z } from 'zod';
import { runtimeConfigFields } from './runtime.settings.js';

/** DI token of the `SchedulerConfig`. */
export const SCHEDULER_CONFIG = Symbol('SchedulerConfig');

/** Settings of the scheduler; each is an environment variable, see README.md. */
export const SchedulerConfig = z.strictObject({
  /** Names this scheduler among several, to people; default: the name of the machine. */
  instance: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,80}$/)
    .optional(),
  /** `nats://host:port`, several separated by commas. */
  natsUrl: z.array(z.string().regex(/^(nats|tls):\/\//, 'must begin with nats:// or tls://')).min(1),
  natsUser: z.string().min(1).optional(),
  natsPassword: secret(z.string().min(1)).optional(),
  /** `postgres://user:password@host:port/database`; the user owns the schema `scheduler`. */
  databaseUrl: secret(z.string().regex(/^postgres(ql)?:\/\//, 'must begin with postgres://')),
  /** Connections to the database at most, the leader's own not counted. */
  databasePoolMax: z.int().min(4).max(100).default(10),
  /** Ed25519 key as a JWK, mode 0600; made at the first start. Commands, leases and events are signed with it. */
  signingKeyPath: z.string().min(1),
  /** Public key of the audit service (JWK, several as an array): by an answer it did not sign no event is deleted. */
  auditPublicKey: AuditPublicKeys,
  /** Copies of each stream that is made; more than one needs a NATS cluster. */
  streamReplicas: z.int().min(1).max(5).default(1),
  /** Requests handled at a time. */
  requestsMax: z.int().min(1).max(1000).default(128),
  /** Events of refused requests a second at most, so that bad requests cannot fill the database. */
  refusalEventsPerSecond: z.int().min(1).max(1000).default(20),
  logLevel: z.enum(logLevels).default('info'),
  ...runtimeConfigFields,
});
export type SchedulerConfig = z.output<typeof SchedulerConfig>;
