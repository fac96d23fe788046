import { z } from 'zod';
import { limits } from '../limits.js';
import { Actor, Timestamp } from '../names.js';

/** Severities of events in the words of security reviews: info, notice, warning, critical. */
export const securitySeverities = {
  info: 'low',
  notice: 'medium',
  warning: 'high',
  critical: 'critical',
} as const;
export const SecuritySeverity = z
  .enum(['low', 'medium', 'high', 'critical'])
  .meta({ id: 'SecuritySeverity' });
export type SecuritySeverity = z.infer<typeof SecuritySeverity>;

/** What kind of thing a security event tells of. */
export const SecurityEventType = z
  .enum([
    /** Somebody showed who it is and was let in. */
    'authentication_attempt',
    /** Somebody was not let in. */
    'authentication_failure',
    /** A request of a person or a program that was refused, or that concerns the log itself. */
    'admin_access',
    /** Somebody changed what should run, where, or who may. */
    'configuration_change',
    /** Passwords: stored, or given to the host that runs the account's bot. */
    'credential_access',
    /** Somebody asked for credentials it has no right to. */
    'unauthorized_data_access',
    /** A command or message that is not what it claims to be, a container that belongs to nobody, a split fleet. */
    'system_intrusion',
    /** Something is missing from the log, was put aside, or does not fit what was signed. */
    'log_integrity',
    /** More of something than is usual. */
    'unusual_activity',
  ])
  .meta({ id: 'SecurityEventType' });
export type SecurityEventType = z.infer<typeof SecurityEventType>;

/** `success`: done. `failure`: not done, by a fault. `denied`: refused. `detected`: found out by the platform itself. */
export const SecurityResult = z
  .enum(['success', 'failure', 'denied', 'detected'])
  .meta({ id: 'SecurityResult' });
export type SecurityResult = z.infer<typeof SecurityResult>;

/** A record of the log as security reviews read it. The names are those of the view `audit.security_events`. */
export const SecurityEvent = z
  .strictObject({
    timestamp: Timestamp,
    event_type: SecurityEventType,
    severity: SecuritySeverity,
    /** Who asked: a person, host, service or client of NATS. */
    user_id: z.string(),
    ip_address: z.string().nullable(),
    /** `<entity>.<what>`, e.g. `account.locked`; of a refused request the operation or route that was asked for. */
    action: z.string(),
    details: z.record(z.string(), z.unknown()),
    result: SecurityResult,
    /** Of the record: `events.query`, `log.inclusion`. */
    event_id: z.uuid(),
  })
  .meta({ id: 'SecurityEvent' });
export type SecurityEvent = z.infer<typeof SecurityEvent>;

const paging = {
  limit: z.int().min(1).max(limits.page_rows_max).default(limits.page_rows_default),
  /** `next` of the page before. */
  after: z.string().max(200).optional(),
};
const range = {
  /** Not before. */
  from: Timestamp.optional(),
  /** Before. */
  to: Timestamp.optional(),
};

/** Filters combine with AND. Newest first unless `order` is `asc`. */
export const SecurityEventQuery = z
  .strictObject({
    eventType: SecurityEventType.optional(),
    /** This one and worse ones. */
    severity: SecuritySeverity.optional(),
    result: SecurityResult.optional(),
    user: Actor.optional(),
    action: z.string().max(120).optional(),
    ...range,
    order: z.enum(['asc', 'desc']).default('desc'),
    ...paging,
  })
  .meta({ id: 'SecurityEventQuery' });
export type SecurityEventQuery = z.infer<typeof SecurityEventQuery>;

export const SecurityEventPage = z
  .strictObject({ events: z.array(SecurityEvent), next: z.string().nullable() })
  .meta({ id: 'SecurityEventPage' });
export type SecurityEventPage = z.infer<typeof SecurityEventPage>;

/**
 * What counts as unusual. `failed-logins`: requests without valid credentials, by address. `connection-rate`: hosts that
 * register or try to join, by host, and requests turned away, by address. `error-rate`: warnings and critical events
 * that tell of something that failed or was refused, by producer. `unusual-volume`: events in an hour, by producer,
 * against its own hours before.
 */
export const UnusualRule = z
  .enum(['failed-logins', 'connection-rate', 'error-rate', 'unusual-volume'])
  .meta({ id: 'UnusualRule' });
export type UnusualRule = z.infer<typeof UnusualRule>;

/** Data of the event that tells of unusual activity: one for each rule, who and window. */
export const UnusualActivityEventData = z.strictObject({
  rule: UnusualRule,
  /** `ip:<address>`, in the log `subject:<id>` as it is sealed there; `host:<name>` or `service:<name>`. */
  who: z.string().min(1).max(120),
  /** The window: from the first of the events that were counted. */
  from: Timestamp,
  to: Timestamp,
  /** When it was noticed; more may have followed. */
  count: z.int().min(1),
  threshold: z.number().positive(),
  detail: z.string().max(300),
});
export type UnusualActivityEventData = z.infer<typeof UnusualActivityEventData>;

export const UnusualActivity = z
  .strictObject({ ...UnusualActivityEventData.shape, id: z.uuid(), noticedAt: Timestamp })
  .meta({ id: 'UnusualActivity' });
export type UnusualActivity = z.infer<typeof UnusualActivity>;

/** Newest first. */
export const UnusualActivityList = z
  .strictObject({ rule: UnusualRule.optional(), ...range, ...paging })
  .meta({ id: 'UnusualActivityList' });
export type UnusualActivityList = z.infer<typeof UnusualActivityList>;

export const UnusualActivityPage = z
  .strictObject({ activity: z.array(UnusualActivity), next: z.string().nullable() })
  .meta({ id: 'UnusualActivityPage' });
export type UnusualActivityPage = z.infer<typeof UnusualActivityPage>;

/** An ISO week, Monday to Sunday in UTC. */
export const Week = z
  .string()
  .regex(/^\d{4}-W(0[1-9]|[1-4]\d|5[0-3])$/, 'must be a week such as 2026-W47')
  .meta({ id: 'Week', examples: ['2026-W47'] });

const Count = z.int().min(0);
const counted = <S extends z.ZodType>(name: S) => z.array(z.strictObject({ name, count: Count }));

/**
 * What the records of one week come to that the log held at the size `asOf`: the same records give the same report.
 * Lists are sorted by count, then by name, and bounded; the numbers beside them are of all.
 */
export const SecurityReport = z
  .strictObject({
    week: Week,
    from: Timestamp,
    to: Timestamp,
    /** The week is over and the report is kept as it was made then, with its digest in an event. */
    closed: z.boolean(),
    /** Records of the log that were looked at: those at positions below. */
    asOf: Count,
    /** SHA-256 of the report as it is kept, hexadecimal; null while it is not closed. */
    digest: z.string().nullable(),
    events: z.strictObject({
      total: Count,
      byType: counted(z.string()),
      bySeverity: z.strictObject({ low: Count, medium: Count, high: Count, critical: Count }),
    }),
    security: z.strictObject({
      total: Count,
      byEventType: counted(SecurityEventType),
      byResult: z.strictObject({ success: Count, failure: Count, denied: Count, detected: Count }),
    }),
    /** Requests, joins, grants and sessions that were refused, by what was asked for and why; at most 20. */
    refused: z.strictObject({
      total: Count,
      /** Beyond the bound of the record: counted, not recorded one by one. */
      suppressed: Count,
      top: z.array(z.strictObject({ action: z.string(), code: z.string().nullable(), count: Count })),
    }),
    /** Who has most security events; at most 20. */
    actors: counted(z.string()),
    unusual: z.strictObject({ total: Count, byRule: counted(UnusualRule) }),
    gaps: z.strictObject({ found: Count, refilled: Count, lost: Count, eventsLost: Count }),
    quarantined: z.strictObject({ total: Count, byCode: counted(z.string()) }),
    checkpoints: z.strictObject({
      total: Count,
      /** The last one of the week: up to here the log extended what its witness had. */
      last: z.strictObject({ size: Count, root: z.string(), at: Timestamp }).nullable(),
      diverged: Count,
    }),
    hosts: z.strictObject({
      /** Registrations; a host that starts again registers again. */
      registered: counted(z.string()),
      removed: counted(z.string()),
    }),
    /** Accounts whose password was set, and how often. */
    credentialsSet: z.strictObject({ total: Count, accounts: counted(z.string()) }),
  })
  .meta({ id: 'SecurityReport' });
export type SecurityReport = z.infer<typeof SecurityReport>;

/** Without a week: the last one that is over. */
export const SecurityReportGet = z.strictObject({ week: Week.optional() }).meta({ id: 'SecurityReportGet' });
export type SecurityReportGet = z.infer<typeof SecurityReportGet>;

/** Data of the event that a week's report is made. */
export const WeeklyReportEventData = z.strictObject({
  week: Week,
  /** Records of the log that were looked at. */
  asOf: Count,
  /** SHA-256 of the report as it is kept, hexadecimal. */
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  events: Count,
  refused: Count,
  unusual: Count,
});

/** Data of the event that stands for refused requests beyond the bound of events. */
export const RefusalsSuppressedEventData = z.strictObject({
  /** The service whose door it was. */
  door: z.enum(['scheduler', 'audit', 'secrets', 'gateway']),
  /** Refusals that have no event of their own. */
  count: z.int().min(1),
  /** Of them, by code. */
  codes: z.record(z.string().max(64), z.int().min(1)),
  /** How many different ones had asked; at most 1000 are told apart. */
  askers: z.int().min(1),
  from: Timestamp,
  to: Timestamp,
});
