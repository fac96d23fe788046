import type { MigrationInterface, QueryRunner } from 'typeorm';
import { retentionFunctions } from './0003-retention-functions.js';

/**
 * Persons can be erased, and what a class no longer obliges to keep can be archived and dropped, unless a hold forbids it. What
 * may be done is decided here, by functions of the owner: whoever calls them may call them and nothing else.
 */
export class PrivacyAndRetention1700000000003 implements MigrationInterface {
  name = 'PrivacyAndRetention1700000000003';

  async up(q: QueryRunner): Promise<void> {
    await q.query(tables);
    for (const sql of retentionFunctions) await q.query(sql);
  }

  async down(): Promise<void> {
    throw new Error('An audit log is not taken back; restore a backup beside it.');
  }
}

const tables = `
  -- The name under the person's own key: it goes with the key.
  ALTER TABLE audit_work.subjects ADD COLUMN sealed_name bytea NOT NULL;

  CREATE TABLE audit.erasures (
    subject uuid PRIMARY KEY,
    records bigint NOT NULL CHECK (records >= 0),
    erased_at timestamptz(3) NOT NULL
  );

  -- What is null narrows nothing.
  CREATE TABLE audit.holds (
    id uuid PRIMARY KEY,
    class text CHECK (class IN ('trading', 'audit', 'error', 'session')),
    first_month date CHECK (extract(day FROM first_month) = 1),
    last_month date CHECK (extract(day FROM last_month) = 1 AND last_month >= first_month),
    subject_id uuid,
    reason text NOT NULL,
    placed_at timestamptz(3) NOT NULL
  );
  CREATE TABLE audit.hold_releases (
    hold uuid PRIMARY KEY REFERENCES audit.holds,
    reason text NOT NULL,
    released_at timestamptz(3) NOT NULL
  );
  CREATE VIEW audit.active_holds AS
    SELECT h.* FROM audit.holds h WHERE NOT EXISTS (SELECT FROM audit.hold_releases r WHERE r.hold = h.id);

  -- Counted from the end of the month that the events are of. Only the owner changes them.
  CREATE TABLE audit.retention_months (
    class text PRIMARY KEY CHECK (class IN ('trading', 'audit', 'error', 'session')),
    months integer NOT NULL CHECK (months >= 1)
  );
  INSERT INTO audit.retention_months VALUES ('trading', 84), ('audit', 60), ('error', 24), ('session', 12);

  CREATE TABLE audit.archives (
    id uuid PRIMARY KEY,
    class text NOT NULL,
    month date NOT NULL,
    records bigint NOT NULL CHECK (records > 0),
    first_position bigint NOT NULL,
    last_position bigint NOT NULL,
    -- With the number of records, and as rows are only ever added, this tells whether the partition is still the same.
    position_sum numeric NOT NULL,
    file text NOT NULL UNIQUE,
    bytes bigint NOT NULL CHECK (bytes > 0),
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    checkpoint_size bigint NOT NULL,
    archived_at timestamptz(3) NOT NULL
  );
  CREATE INDEX archives_by_partition ON audit.archives (class, month);

  CREATE TABLE audit.drops (
    id uuid PRIMARY KEY,
    -- Null of a partition that was empty.
    archive uuid UNIQUE REFERENCES audit.archives,
    class text NOT NULL,
    month date NOT NULL,
    records bigint NOT NULL,
    dropped_at timestamptz(3) NOT NULL
  );

  -- Which positions of the log are in which archive and no longer in the table: by stretches of 65536 positions.
  CREATE TABLE audit.archived_positions (
    chunk bigint NOT NULL,
    archive uuid NOT NULL REFERENCES audit.archives,
    positions int8multirange NOT NULL,
    PRIMARY KEY (chunk, archive)
  );

  CREATE TABLE audit_work.retention_runs (
    id uuid PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('running', 'succeeded', 'failed')),
    started_at timestamptz(3) NOT NULL,
    ended_at timestamptz(3),
    steps jsonb NOT NULL,
    detail text
  );
  CREATE INDEX retention_runs_by_time ON audit_work.retention_runs (started_at);

  -- Archives and drops of which the event is written.
  CREATE TABLE audit_work.retention_told (id uuid PRIMARY KEY);
`;
