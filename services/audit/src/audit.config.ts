import { secret } from '#libs/config';
import { logLevels } from '#libs/telemetry';
import { z } from 'zod';
import { TrustedKeys } from './classification/trusted-keys.js';
import { UnusualActivitySettings } from './security/activity/activity.settings.js';

const PostgresUrl = z
  .url({ protocol: /^postgres(ql)?$/ })
  .refine(
    (url) => new URL(url).username !== '',
    'must name a user: postgres://user:password@host:port/database',
  );

const months = z.int().min(1).max(1200);
/** Counted from the end of the month that the events are of. */
const RetentionMonths = z.strictObject({
  trading: months.default(84),
  audit: months.default(60),
  error: months.default(24),
  session: months.default(12),
});

/** DI token of the service's configuration. */
export const AUDIT_CONFIG = Symbol('AuditConfig');

/** `TRADEFLEET_NATS_URL`, ...; see README. */
export const AuditConfig = z.strictObject({
  /** `nats://host:port`, several separated by commas. */
  natsUrl: z.array(z.string().regex(/^(nats|tls):\/\//, 'must begin with nats:// or tls://')).min(1),
  natsUser: z.string().min(1).optional(),
  natsPassword: secret(z.string().min(1)).optional(),
  /** Of the role that records: it may add to the log, and neither change nor read what is recorded. */
  databaseUrl: secret(PostgresUrl),
  /** Of the role that queries are made with: it may read the log and nothing else. */
  readerDatabaseUrl: secret(PostgresUrl),
  /** Of the owner of the schemas `audit` and `audit_work`; when set, migrations run at the start and the roles above are made. */
  databaseOwnerUrl: secret(PostgresUrl).optional(),
  /** Of the role that archives and drops what is due: it may call the functions for that and nothing else. Without it that is refused. */
  keeperDatabaseUrl: secret(PostgresUrl).optional(),
  /** Folder for archives, on storage that outlives the database. Without it nothing is archived or dropped. */
  archiveDir: z.string().min(1).optional(),
  /** How many months events are kept, by retention class; written down by the owner. */
  retentionMonths: RetentionMonths.prefault({}),
  /** How many days messages are kept that were put aside; written down by the owner. */
  quarantineDays: z.int().min(1).max(36_500).default(90),
  /** How many days an incarnation of a producer is remembered that is wholly settled and over. More than the stream keeps. */
  producersKeptDays: z.int().min(8).max(36_500).default(90),
  /** How often what is older is taken away. */
  upkeepMs: z.int().min(100).max(86_400_000).default(3_600_000),
  /** File of the master keys that the keys of persons are kept under; made at the first start. Without it their names are lost. */
  auditMasterKeyPath: z.string().min(1),
  databasePoolMax: z.int().min(2).max(100).default(5),
  /** Names the log in its checkpoints: another name begins another series of them. */
  logOrigin: z
    .string()
    .regex(/^[a-z0-9][a-z0-9./-]{0,99}$/)
    .default('tradefleet/audit'),
  /** Ed25519 key that signs the checkpoints of the log; made at the first start. Keep it away from the database. */
  logKeyPath: z.string().min(1),
  /** Where every leaf and checkpoint of the log is kept outside the database; only ever appended to. */
  witnessDir: z.string().min(1),
  /** A checkpoint after so many records, */
  checkpointEvents: z.int().min(1).max(1_000_000).default(1000),
  /** or after so long when there is something new. */
  checkpointMs: z.int().min(100).max(3_600_000).default(10_000),
  /** Ed25519 key that signs this service's own events; made at the first start. */
  signingKeyPath: z.string().min(1),
  /** Public keys (JWK) that the services sign their events with, by source: `{"/scheduler": [...], "/secrets": [...]}`. */
  trustedKeys: TrustedKeys,
  /** How long an event of a host waits whose registration has not been recorded yet. */
  unknownHostWaitMs: z.int().min(100).max(300_000).default(20_000),
  /** Events that a producer published and that are not recorded are asked for again after so long. */
  refillAfterMs: z.int().min(100).max(600_000).default(10_000),
  /** A producer of which something is missing is reported when it has not asked for so long. */
  silentAfterMs: z.int().min(1000).max(86_400_000).default(600_000),
  /** From how many within which time activity is unusual; as JSON. */
  unusualActivity: UnusualActivitySettings.prefault({}),
  /** In how long the whole log is read again and held to what it was when it was committed; */
  selfCheckRoundMs: z.int().min(1000).max(2_592_000_000).default(86_400_000),
  /** longer where that would take more than this share of the time: it rests between. */
  selfCheckShareMax: z.number().min(0.0001).max(1).default(0.01),
  /** How often it is looked for, and whether a week is over. */
  securityLookMs: z.int().min(100).max(3_600_000).default(60_000),
  /** Refused requests a second that have an event each; what is beyond is counted. */
  refusalEventsPerSecond: z.int().min(1).max(1000).default(20),
  /** Events in one transaction, at most. */
  batchEventsMax: z.int().min(1).max(4096).default(1000),
  /** Longest wait for a batch to fill. */
  batchWaitMs: z.int().min(1).max(10_000).default(20),
  logLevel: z.enum(logLevels).default('info'),
});
export type AuditConfig = z.output<typeof AuditConfig>;
