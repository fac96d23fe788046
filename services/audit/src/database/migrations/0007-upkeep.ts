import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What the service works with while it looks after its log. */
export class Upkeep1700000000007 implements MigrationInterface {
  name = 'Upkeep1700000000007';

  async up(q: QueryRunner): Promise<void> {
    await q.query(selfCheck);
    await q.query(quarantine);
    await q.query(pruneQuarantine);
    await q.query(redactQuarantine);
    await q.query('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA audit FROM PUBLIC');
  }

  async down(): Promise<void> {
    throw new Error('An audit log is not taken back; restore a backup beside it.');
  }
}

const selfCheck = `
  -- The stretch of 256 records that is read again next: whoever holds the lock of this row reads it.
  CREATE TABLE audit_work.self_check (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    stretch bigint NOT NULL CHECK (stretch >= 0),
    -- Times that the whole log has been read.
    rounds bigint NOT NULL DEFAULT 0,
    round_ended_at timestamptz(3)
  );
  INSERT INTO audit_work.self_check (stretch) VALUES (0);

  -- What was found and is not mended yet.
  CREATE TABLE audit_work.damage (
    stretch bigint NOT NULL,
    what text NOT NULL,
    position bigint NOT NULL,
    records bigint NOT NULL,
    detail text NOT NULL,
    found_at timestamptz(3) NOT NULL,
    PRIMARY KEY (stretch, what)
  );
`;

const owned = 'SECURITY DEFINER SET search_path = pg_catalog, pg_temp';

const quarantine = `
  -- How long what was put aside is kept. Only the owner changes it.
  CREATE TABLE audit.quarantine_retention (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    days integer NOT NULL CHECK (days >= 1)
  );
  INSERT INTO audit.quarantine_retention (days) VALUES (90);

  -- When body and headers were taken out, because a person was erased whom they may name.
  ALTER TABLE audit.quarantine ADD COLUMN redacted_at timestamptz(3);
`;

/**
 * Deletes what was put aside longer ago than the owner has it kept, unless a hold is over that month: whatever a hold is
 * for, nobody knows what of it a message that could not be read is about.
 */
const pruneQuarantine = `
  CREATE FUNCTION audit.prune_quarantine(limit_rows integer) RETURNS bigint
  LANGUAGE plpgsql ${owned} SET lock_timeout = '5s' AS $$
  DECLARE
    pruned bigint;
  BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
      RAISE EXCEPTION 'only in a transaction at READ COMMITTED' USING ERRCODE = 'invalid_transaction_state';
    END IF;
    IF limit_rows IS NULL OR limit_rows < 1 OR limit_rows > 10000 THEN
      RAISE EXCEPTION 'at most 10000 messages are deleted at once' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    LOCK TABLE audit.holds, audit.hold_releases IN SHARE MODE;
    DELETE FROM audit.quarantine WHERE digest IN (
      SELECT q.digest FROM audit.quarantine q CROSS JOIN audit.quarantine_retention kept
       WHERE q.recorded_at < now() - make_interval(days => kept.days)
         AND NOT EXISTS (SELECT FROM audit.active_holds h
                          WHERE (h.first_month IS NULL OR q.recorded_at >= h.first_month)
                            AND (h.last_month IS NULL OR q.recorded_at < h.last_month + interval '1 month'))
       ORDER BY q.recorded_at LIMIT limit_rows);
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN pruned;
  END $$`;

/**
 * Takes body and headers of messages out that may name a person who is being erased: the name, or the address that stands for
 * one, also as JSON writes it, and whatever has characters by number in it, which could spell anything. Digest, code and
 * reason stay. Whether a hold forbids the erasure was decided by that.
 */
const redactQuarantine = `
  CREATE FUNCTION audit.redact_quarantine(of_subject uuid, name text) RETURNS bigint
  LANGUAGE plpgsql ${owned} AS $$
  DECLARE
    -- Of a value that stands for somebody (ip:192.0.2.7) only the value is in messages.
    shown constant text := CASE WHEN name ~ '^(user|subject):' THEN name ELSE substr(name, strpos(name, ':') + 1) END;
    plain constant bytea := convert_to(shown, 'UTF8');
    quoted constant bytea := convert_to(btrim(to_json(shown)::text, '"'), 'UTF8');
    redacted bigint;
  BEGIN
    IF name IS NULL OR length(shown) < 2 OR NOT EXISTS (
         SELECT FROM audit.erasures e WHERE e.subject = of_subject AND e.erased_at > now() - interval '1 second') THEN
      RAISE EXCEPTION 'nobody of this name is being erased' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    UPDATE audit.quarantine q SET body = '', headers = '{}', redacted_at = now()
     WHERE redacted_at IS NULL
       AND (position(plain IN q.body) > 0 OR position(quoted IN q.body) > 0 OR position('\\x5c75'::bytea IN q.body) > 0
            OR position(plain IN convert_to(q.headers::text, 'UTF8')) > 0
            OR position(quoted IN convert_to(q.headers::text, 'UTF8')) > 0
            OR position('\\x5c75'::bytea IN convert_to(q.headers::text, 'UTF8')) > 0);
    GET DIAGNOSTICS redacted = ROW_COUNT;
    RETURN redacted;
  END $$`;
