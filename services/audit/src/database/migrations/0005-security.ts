import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The log as security reviews read it, reports of weeks, and what the search for unusual activity works with. */
export class Security1700000000005 implements MigrationInterface {
  name = 'Security1700000000005';

  async up(q: QueryRunner): Promise<void> {
    await q.query(types);
    await q.query(view);
    await q.query(reports);
    await q.query(work);
  }

  async down(q: QueryRunner): Promise<void> {
    await q.query(
      'DROP TABLE audit_work.hourly_volume, audit_work.activity, audit_work.activity_place; DROP TABLE audit.reports;' +
        'DROP VIEW audit.security_events; DROP TABLE audit.security_types',
    );
  }
}

/** Filled by the owner from the catalogue at each start; a type stays although an older service does not know it. */
const types = `
  CREATE TABLE audit.security_types (
    type text PRIMARY KEY,
    event_type text NOT NULL,
    result text NOT NULL CHECK (result IN ('success', 'failure', 'denied', 'detected')),
    -- What was done, unless a field of the data says it.
    action text NOT NULL,
    action_field text
  );
`;

/** A text of the data. Postgres reads none out of a text with an escape that no text can hold: there, escapes are blanks. */
const textOf = (key: string): string =>
  `CASE WHEN strpos(e.data::text, '\\u') = 0 THEN e.data ->> ${key}
        ELSE regexp_replace(e.data::text, '\\\\(u[0-9a-fA-F]{4}|.)', ' ', 'g')::json ->> ${key} END`;

/**
 * Its rights are the owner's: a role may be given this view and nothing else of the log. Personal values stand here as
 * the log holds them, sealed.
 */
const view = `
  CREATE VIEW audit.security_events WITH (security_barrier) AS
  SELECT e.time AS "timestamp",
         t.event_type,
         CASE e.severity WHEN 'critical' THEN 'critical' WHEN 'warning' THEN 'high'
                         WHEN 'notice' THEN 'medium' ELSE 'low' END AS severity,
         e.actor AS user_id,
         ${textOf("'ip'")} AS ip_address,
         CASE WHEN t.action_field IS NULL THEN t.action ELSE coalesce(${textOf('t.action_field')}, t.action) END AS action,
         e.data AS details,
         t.result,
         ${textOf("'code'")} AS code,
         e.id AS event_id,
         e.type,
         e.position,
         e.subject_id
    FROM audit.security_types t
    JOIN audit.events e ON e.type = t.type;
`;

const reports = `
  -- Of a week that is over: as it was made then, byte by byte.
  CREATE TABLE audit.reports (
    week text PRIMARY KEY,
    -- Records of the log that were looked at.
    as_of bigint NOT NULL CHECK (as_of >= 0),
    body text NOT NULL,
    -- SHA-256 of the body.
    digest text NOT NULL,
    created_at timestamptz(3) NOT NULL
  );
`;

const work = `
  -- Up to which position of the log unusual activity was looked for: whoever holds the lock of this row looks.
  CREATE TABLE audit_work.activity_place (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    position bigint NOT NULL CHECK (position >= 0)
  );
  CREATE TABLE audit_work.activity (
    rule text NOT NULL,
    who text NOT NULL,
    -- Times that may be part of a burst; fewer than its threshold.
    recent timestamptz(3)[] NOT NULL,
    -- The end of the last window that was told of: what lies before is part of it.
    told_until timestamptz(3),
    changed_at timestamptz(3) NOT NULL,
    PRIMARY KEY (rule, who)
  );
  CREATE INDEX activity_by_change ON audit_work.activity (changed_at);
  CREATE TABLE audit_work.hourly_volume (
    who text NOT NULL,
    hour timestamptz NOT NULL,
    events bigint NOT NULL,
    told boolean NOT NULL DEFAULT false,
    PRIMARY KEY (who, hour)
  );
  CREATE INDEX hourly_volume_by_hour ON audit_work.hourly_volume (hour);
`;
