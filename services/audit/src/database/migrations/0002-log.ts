import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The log as records at positions, in partitions by retention class and month, and beside it what it is proved by
 * (tiles, checkpoints) and what the service works with (`audit_work`: the one schema of which rows are changed).
 *
 * Events recorded by the first form of the table have no position and no leaf. They are kept, read by the owner alone,
 * in the schema `audit_unproved`; a log of records starts beside them.
 */
export class Log1700000000002 implements MigrationInterface {
  name = 'Log1700000000002';

  async up(q: QueryRunner): Promise<void> {
    await setFirstFormAside(q);
    await q.query(events);
    for (const name of retentions) await q.query(partitionOf(name));
    await q.query(ensurePartitions);
    await q.query(proofs);
    await q.query(work);
  }

  async down(): Promise<void> {
    throw new Error('An audit log is not taken back; restore a backup beside it.');
  }
}

const retentions = ['trading', 'audit', 'error', 'session'] as const;
const retentionList = retentions.map((name) => `'${name}'`).join(', ');

async function setFirstFormAside(q: QueryRunner): Promise<void> {
  const rows = (await q.query('SELECT 1 FROM audit.events LIMIT 1')) as unknown[];
  if (rows.length === 0) await q.query('DROP TABLE audit.events');
  else await q.query('CREATE SCHEMA audit_unproved; ALTER TABLE audit.events SET SCHEMA audit_unproved');
}

/**
 * `data` is of type json, not jsonb: it keeps the bytes as they were sent, which signature and leaf cover. Postgres
 * reads no value out of a text with an escape that no text can hold (\u0000, half a surrogate pair), so for `details`
 * every escape of a body that has one in four digits is a blank.
 */
const events = `
  CREATE TABLE audit.events (
    id uuid NOT NULL,
    -- Index of the leaf in the log: from 0, without gaps, in the order of the commits.
    position bigint NOT NULL CHECK (position >= 0),
    source text NOT NULL,
    incarnation uuid NOT NULL,
    sequence bigint NOT NULL,
    type text NOT NULL,
    entity text NOT NULL,
    entity_id text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('info', 'notice', 'warning', 'critical')),
    retention text NOT NULL CHECK (retention IN (${retentionList})),
    -- A person stands here as subject:<id>.
    actor text NOT NULL,
    -- Whose key seals the personal values of this record.
    subject_id uuid,
    time timestamptz(3) NOT NULL,
    traceparent text,
    trace_id text GENERATED ALWAYS AS (substr(traceparent, 4, 32)) STORED,
    data json NOT NULL,
    signature text,
    -- By the clock of the service; part of the leaf.
    recorded_at timestamptz(3) NOT NULL,
    leaf_hash bytea NOT NULL CHECK (length(leaf_hash) = 32),
    details text GENERATED ALWAYS AS (left(btrim(
      CASE WHEN strpos(data::text, '\\u') = 0
           THEN coalesce(data ->> 'detail', '') || ' ' || coalesce(data ->> 'reason', '')
           ELSE coalesce(regexp_replace(data::text, '\\\\(u[0-9a-fA-F]{4}|.)', ' ', 'g')::json ->> 'detail', '')
                || ' ' ||
                coalesce(regexp_replace(data::text, '\\\\(u[0-9a-fA-F]{4}|.)', ' ', 'g')::json ->> 'reason', '')
      END), 2000)) STORED,
    -- An id says the millisecond of its time, and a type has one class: so this keeps an id once.
    CONSTRAINT events_once PRIMARY KEY (id, time, retention)
  ) PARTITION BY LIST (retention);
  CREATE INDEX events_by_position ON audit.events (position);
  -- Each query filters by one of these at most before it needs the order of time.
  CREATE INDEX events_by_time ON audit.events (time, id);
  CREATE INDEX events_by_entity ON audit.events (entity, entity_id, time, id);
  CREATE INDEX events_by_type ON audit.events (type, time, id);
  CREATE INDEX events_by_actor ON audit.events (actor, time, id);
  CREATE INDEX events_by_trace ON audit.events (trace_id, time, id) WHERE trace_id IS NOT NULL;
  CREATE INDEX events_by_subject ON audit.events (subject_id, time, id) WHERE subject_id IS NOT NULL;
  CREATE INDEX events_by_details ON audit.events USING gin (to_tsvector('simple', details)) WHERE details <> '';
`;

const partitionOf = (retention: string): string =>
  `CREATE TABLE audit.events_${retention} PARTITION OF audit.events FOR VALUES IN ('${retention}')
     PARTITION BY RANGE (time)`;

/**
 * The writer may not make tables; it may have the months made that events can belong to. A table is made alone and then
 * attached, which lets others read and add meanwhile.
 */
const ensurePartitions = `
  CREATE FUNCTION audit.ensure_partitions(first date, last date) RETURNS integer
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
  DECLARE
    this_month constant date := date_trunc('month', now())::date;
    month date;
    class text;
    name text;
    made integer := 0;
  BEGIN
    IF first IS NULL OR last IS NULL OR NOT isfinite(first) OR NOT isfinite(last) OR first > last
       OR first < this_month - interval '15 months' OR last >= this_month + interval '13 months'
       OR last > first + interval '24 months' THEN
      RAISE EXCEPTION 'months from % to % are not to be made', first, last USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('tradefleet:audit:partitions', 0));
    month := date_trunc('month', first)::date;
    WHILE month <= last LOOP
      FOREACH class IN ARRAY ARRAY[${retentionList}] LOOP
        name := format('events_%s_%s', class, to_char(month, 'YYYY_MM'));
        CONTINUE WHEN EXISTS (SELECT FROM pg_inherits
          WHERE inhrelid = to_regclass(format('audit.%I', name)) AND NOT inhdetachpending);
        EXECUTE format('CREATE TABLE audit.%I (LIKE audit.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED)',
                       name, 'events_' || class);
        EXECUTE format('REVOKE ALL ON audit.%I FROM PUBLIC', name);
        EXECUTE format('ALTER TABLE audit.%I ATTACH PARTITION audit.%I FOR VALUES FROM (%L) TO (%L)',
                       'events_' || class, name, to_char(month, 'YYYY-MM-DD 00:00:00+00'),
                       to_char(month + interval '1 month', 'YYYY-MM-DD 00:00:00+00'));
        made := made + 1;
      END LOOP;
      month := (month + interval '1 month')::date;
    END LOOP;
    RETURN made;
  END $$;
  REVOKE ALL ON FUNCTION audit.ensure_partitions FROM PUBLIC;
`;

const proofs = `
  -- 256 hashes of one level of the tree, finished: such a tile never changes again.
  CREATE TABLE audit.tiles (
    level smallint NOT NULL CHECK (level >= 0),
    index bigint NOT NULL CHECK (index >= 0),
    hashes bytea NOT NULL CHECK (length(hashes) = 8192),
    PRIMARY KEY (level, index)
  );
  ALTER TABLE audit.tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;

  CREATE TABLE audit.checkpoints (
    origin text NOT NULL,
    size bigint NOT NULL CHECK (size >= 0),
    root bytea NOT NULL CHECK (length(root) = 32),
    -- As it was signed.
    note text NOT NULL,
    created_at timestamptz(3) NOT NULL,
    PRIMARY KEY (origin, size)
  );

  ALTER TABLE audit.quarantine
    ADD COLUMN code text NOT NULL DEFAULT 'unclassified',
    ADD COLUMN source text;
  ALTER TABLE audit.quarantine ALTER COLUMN code DROP DEFAULT;
  CREATE INDEX quarantine_by_code ON audit.quarantine (code, recorded_at);

  -- What became of a range of sequences that was missing; a gap that is closed later has a row more.
  CREATE TABLE audit.gaps (
    id uuid PRIMARY KEY,
    -- Of the row that found it, in that row its own.
    gap uuid NOT NULL,
    source text NOT NULL,
    incarnation uuid NOT NULL,
    first bigint NOT NULL CHECK (first > 0),
    last bigint NOT NULL CHECK (last >= first),
    outcome text NOT NULL CHECK (outcome IN ('found', 'refilled', 'lost')),
    detail text,
    recorded_at timestamptz(3) NOT NULL
  );
  CREATE INDEX gaps_by_producer ON audit.gaps (source, incarnation, first);
  CREATE INDEX gaps_by_gap ON audit.gaps (gap);
  CREATE INDEX gaps_by_time ON audit.gaps (recorded_at, id);
`;

const work = `
  -- How far the log is: whoever holds the lock of this row commits next. There is one row.
  CREATE TABLE audit_work.head (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    origin text NOT NULL,
    size bigint NOT NULL CHECK (size >= 0),
    -- Roots of the largest full subtrees, 32 bytes each, the largest first: one for every bit set in size.
    frontier bytea NOT NULL CHECK (length(frontier) = 32 * bit_count(size::bit(64)))
  );

  CREATE TABLE audit_work.producers (
    source text NOT NULL,
    incarnation uuid NOT NULL,
    -- Sequences of which it is settled what became of them.
    received int8multirange NOT NULL,
    first_seen_at timestamptz(3) NOT NULL,
    changed_at timestamptz(3) NOT NULL,
    -- When its producer last asked how far it is recorded; to the minute.
    asked_at timestamptz(3),
    PRIMARY KEY (source, incarnation)
  );

  CREATE TABLE audit_work.subjects (
    id uuid PRIMARY KEY,
    name_mac bytea NOT NULL UNIQUE CHECK (length(name_mac) = 32),
    wrapped_key bytea NOT NULL,
    created_at timestamptz(3) NOT NULL
  );
`;
