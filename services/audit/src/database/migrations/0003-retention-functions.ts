/**
 * Functions of the owner, with a pinned search path. They check for themselves what they are asked for: whoever may call them is
 * not believed. All take a month by its first day.
 */
const owned = "SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'";

/** A snapshot from before would not show a hold that was placed, or a record that was added, since. */
const fresh = `IF current_setting('transaction_isolation') <> 'read committed' THEN
      RAISE EXCEPTION 'only in a transaction at READ COMMITTED' USING ERRCODE = 'invalid_transaction_state';
    END IF;`;

/** The partition of a class and month, null when there is none; refuses what is no class or no month. */
const partitionOf = `
  CREATE FUNCTION audit.partition_of(class text, month date) RETURNS regclass
  LANGUAGE plpgsql STABLE ${owned} AS $$
  BEGIN
    IF class IS NULL OR class <> ALL (ARRAY['trading', 'audit', 'error', 'session'])
       OR month IS NULL OR extract(day FROM month) <> 1 THEN
      RAISE EXCEPTION 'no partition is called % %', class, month USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN (SELECT inhrelid::regclass FROM pg_inherits
             WHERE inhparent = to_regclass(format('audit.events_%s', class))
               AND inhrelid = to_regclass(format('audit.events_%s_%s', class, to_char(month, 'YYYY_MM'))));
  END $$`;

/** The holds that forbid to drop a partition. */
const holdsOn = `
  CREATE FUNCTION audit.holds_on(of_class text, of_month date) RETURNS uuid[]
  LANGUAGE sql STABLE ${owned} AS $$
    SELECT coalesce(array_agg(h.id ORDER BY h.placed_at, h.id), '{}') FROM audit.active_holds h
     WHERE (h.class IS NULL OR h.class = of_class)
       AND (h.first_month IS NULL OR h.first_month <= of_month)
       AND (h.last_month IS NULL OR h.last_month >= of_month)
       AND (h.subject_id IS NULL OR EXISTS (
         SELECT FROM audit.events e
          WHERE e.subject_id = h.subject_id AND e.retention = of_class
            AND e.time >= of_month AND e.time < of_month + interval '1 month'))
  $$`;

const dueAt = `
  CREATE FUNCTION audit.due_at(of_class text, of_month date) RETURNS timestamptz
  LANGUAGE sql STABLE ${owned} AS $$
    SELECT (of_month + interval '1 month' + make_interval(months => m.months))::timestamptz
      FROM audit.retention_months m WHERE m.class = of_class
  $$`;

/** What tells whether a partition is the one that was archived. */
const facts = `
  CREATE FUNCTION audit.partition_facts(partition regclass, OUT records bigint, OUT first_position bigint,
                                        OUT last_position bigint, OUT position_sum numeric)
  LANGUAGE plpgsql STABLE ${owned} AS $$
  BEGIN
    EXECUTE format('SELECT count(*), min(position), max(position), coalesce(sum(position), 0) FROM %s', partition)
       INTO records, first_position, last_position, position_sum;
  END $$`;

/** Whether the tree has closed over a position: then its hash is in a tile and no longer needed of the record. */
const isClosed = `
  CREATE FUNCTION audit.is_closed(at bigint) RETURNS boolean
  LANGUAGE sql STABLE ${owned} AS $$
    SELECT EXISTS (SELECT FROM audit.tiles WHERE level = 0 AND index = at / 256)
       AND EXISTS (SELECT FROM audit.checkpoints c JOIN audit_work.head h ON h.origin = c.origin AND c.size <= h.size
                    WHERE c.size > at)
  $$`;

/** Throws unless the partition is there, due and not held. */
const requireDue = `
  CREATE FUNCTION audit.require_due(class text, month date) RETURNS regclass
  LANGUAGE plpgsql STABLE ${owned} AS $$
  DECLARE
    partition constant regclass := audit.partition_of(class, month);
    holds uuid[];
  BEGIN
    IF partition IS NULL THEN
      RAISE EXCEPTION 'there is no partition % %', class, month USING ERRCODE = 'TF404';
    END IF;
    IF audit.due_at(class, month) IS NULL OR audit.due_at(class, month) > now() THEN
      RAISE EXCEPTION '% % is not due', class, month USING ERRCODE = 'TF001';
    END IF;
    holds := audit.holds_on(class, month);
    IF cardinality(holds) > 0 THEN
      RAISE EXCEPTION '% % is held by %', class, month, holds[1] USING ERRCODE = 'TF002', DETAIL = holds[1]::text;
    END IF;
    RETURN partition;
  END $$`;

/**
 * All partitions. Unless it is to be exact, the number of records is the planner's estimate, where it has one, and an archive is
 * known by its first and last position; so the answer comes at once, however large the log is.
 */
const plan = `
  CREATE FUNCTION audit.retention_plan(exact boolean)
  RETURNS TABLE (class text, month date, records bigint, bytes bigint, due_at timestamptz, is_due boolean,
                 holds uuid[], is_closed boolean, archive uuid, last_position bigint)
  LANGUAGE plpgsql STABLE ${owned} AS $$
  DECLARE
    found record;
    fact record;
  BEGIN
    FOR found IN
      SELECT substr(p.relname, 8) AS of_class, to_date(right(c.relname, 7), 'YYYY_MM') AS of_month, c.oid AS oid,
             c.reltuples AS estimate
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
       WHERE i.inhparent = ANY (ARRAY['audit.events_trading', 'audit.events_audit', 'audit.events_error',
                                      'audit.events_session']::regclass[])
       ORDER BY 2, 1
    LOOP
      class := found.of_class;
      month := found.of_month;
      due_at := audit.due_at(class, month);
      is_due := due_at <= now();
      holds := audit.holds_on(class, month);
      bytes := pg_total_relation_size(found.oid);
      records := found.estimate::bigint;
      is_closed := NULL;
      archive := NULL;
      last_position := NULL;
      IF found.estimate < 0 OR (is_due AND exact) THEN
        fact := audit.partition_facts(found.oid::regclass);
        records := fact.records;
      ELSIF is_due THEN
        EXECUTE format('SELECT NULL::numeric AS position_sum,
                               (SELECT min(position) FROM %1$s) AS first_position,
                               (SELECT max(position) FROM %1$s) AS last_position', found.oid::regclass) INTO fact;
      END IF;
      IF is_due THEN
        last_position := fact.last_position;
        IF last_position IS NULL THEN
          records := 0;
        END IF;
        is_closed := last_position IS NULL OR audit.is_closed(last_position);
        archive := (SELECT a.id FROM audit.archives a
                     WHERE a.class = found.of_class AND a.month = found.of_month
                       AND a.first_position = fact.first_position AND a.last_position = fact.last_position
                       AND (fact.position_sum IS NULL OR a.position_sum = fact.position_sum)
                       AND NOT EXISTS (SELECT FROM audit.drops d WHERE d.archive = a.id)
                     ORDER BY a.archived_at DESC LIMIT 1);
      END IF;
      RETURN NEXT;
    END LOOP;
  END $$`;

/** The records of a partition that is due and not held, in the order of the log, after a position. */
const read = `
  CREATE FUNCTION audit.read_due(class text, month date, after bigint, limit_rows integer)
  RETURNS TABLE ("position" bigint, id uuid, source text, incarnation uuid, sequence bigint, type text, subject text,
                 severity text, retention text, actor text, subject_id uuid, "time" timestamptz, traceparent text,
                 recorded_at timestamptz, signature text, data text)
  LANGUAGE plpgsql STABLE ${owned} AS $$
  DECLARE
    partition constant regclass := audit.require_due(class, month);
  BEGIN
    IF limit_rows IS NULL OR limit_rows < 1 OR limit_rows > 10000 THEN
      RAISE EXCEPTION 'at most 10000 records are read at once' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY EXECUTE format(
      'SELECT position, id, source, incarnation, sequence, type, entity || ''/'' || entity_id, severity, retention, actor,
              subject_id, time, traceparent, recorded_at, signature, data::text
         FROM %s WHERE position > $1 ORDER BY position LIMIT $2', partition) USING after, limit_rows;
  END $$`;

/** Notes that a partition is in a file: it must be the whole partition. What is in the file only the service knows. */
const recordArchive = `
  CREATE FUNCTION audit.record_archive(archive uuid, class text, month date, records bigint, first_position bigint,
                                       last_position bigint, position_sum numeric, file text, bytes bigint, sha256 bytea,
                                       checkpoint_size bigint)
  RETURNS timestamptz LANGUAGE plpgsql ${owned} AS $$
  DECLARE
    partition constant regclass := audit.require_due(class, month);
    fact record;
  BEGIN
    ${fresh}
    fact := audit.partition_facts(partition);
    IF (fact.records, fact.first_position, fact.last_position, fact.position_sum)
       IS DISTINCT FROM (records, first_position, last_position, position_sum) THEN
      RAISE EXCEPTION '% % has other records than the archive', class, month USING ERRCODE = 'TF003';
    END IF;
    IF NOT audit.is_closed(last_position) OR checkpoint_size IS NULL OR checkpoint_size <= last_position
       OR NOT EXISTS (SELECT FROM audit.checkpoints c WHERE c.size = checkpoint_size) THEN
      RAISE EXCEPTION 'no checkpoint covers % %', class, month USING ERRCODE = 'TF004';
    END IF;
    INSERT INTO audit.archives VALUES (archive, class, month, records, first_position, last_position, position_sum, file,
                                       bytes, sha256, checkpoint_size, now());
    RETURN now();
  END $$`;

/**
 * Drops a partition that is due, not held, and in the archive as it is; or, with no archive, one that is empty. No hold is placed
 * and no record added meanwhile.
 */
const drop = `
  CREATE FUNCTION audit.drop_partition(drop_id uuid, of_class text, of_month date, of_archive uuid) RETURNS bigint
  LANGUAGE plpgsql ${owned} SET lock_timeout = '5s' AS $$
  DECLARE
    partition regclass;
    fact record;
  BEGIN
    ${fresh}
    PERFORM pg_advisory_xact_lock(hashtextextended('tradefleet:audit:partitions', 0));
    LOCK TABLE audit.holds, audit.hold_releases IN SHARE MODE;
    partition := audit.require_due(of_class, of_month);
    -- From the top down, as those do who add.
    EXECUTE format('LOCK TABLE ONLY audit.%I IN ACCESS EXCLUSIVE MODE', 'events_' || of_class);
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', partition);
    fact := audit.partition_facts(partition);
    IF fact.records > 0 THEN
      IF NOT EXISTS (SELECT FROM audit.archives a
                      WHERE a.id = of_archive AND a.class = of_class AND a.month = of_month
                        AND a.records = fact.records AND a.first_position = fact.first_position
                        AND a.last_position = fact.last_position AND a.position_sum = fact.position_sum) THEN
        RAISE EXCEPTION '% % is not in the archive as it is', of_class, of_month USING ERRCODE = 'TF003';
      END IF;
      IF NOT audit.is_closed(fact.last_position) THEN
        RAISE EXCEPTION 'no checkpoint covers % %', of_class, of_month USING ERRCODE = 'TF004';
      END IF;
      EXECUTE format(
        'INSERT INTO audit.archived_positions
         SELECT position / 65536, $1, range_agg(int8range(position, position, ''[]'')) FROM %s GROUP BY 1', partition)
        USING of_archive;
    ELSIF of_archive IS NOT NULL THEN
      RAISE EXCEPTION '% % is empty and in no archive', of_class, of_month USING ERRCODE = 'TF003';
    END IF;
    EXECUTE format('DROP TABLE %s', partition);
    INSERT INTO audit.drops VALUES (drop_id, of_archive, of_class, of_month, fact.records, now());
    RETURN fact.records;
  END $$`;

/**
 * Destroys the key of a person unless a hold covers a record of it, and notes that it did. Null when there is no such key;
 * otherwise how many records it sealed that are not archived.
 */
const erase = `
  CREATE FUNCTION audit.erase_subject(of_subject uuid) RETURNS bigint
  LANGUAGE plpgsql ${owned} SET lock_timeout = '5s' AS $$
  DECLARE
    hold uuid;
    sealed bigint;
  BEGIN
    ${fresh}
    LOCK TABLE audit.holds, audit.hold_releases IN SHARE MODE;
    SELECT h.id INTO hold FROM audit.active_holds h
     WHERE h.subject_id = of_subject
        OR (h.subject_id IS NULL AND EXISTS (
             SELECT FROM audit.events e
              WHERE e.subject_id = of_subject AND (h.class IS NULL OR e.retention = h.class)
                AND (h.first_month IS NULL OR e.time >= h.first_month)
                AND (h.last_month IS NULL OR e.time < h.last_month + interval '1 month')))
     LIMIT 1;
    IF hold IS NOT NULL THEN
      RAISE EXCEPTION 'held by %', hold USING ERRCODE = 'TF002', DETAIL = hold::text;
    END IF;
    DELETE FROM audit_work.subjects WHERE id = of_subject;
    IF NOT FOUND THEN
      RETURN NULL;
    END IF;
    SELECT count(*) INTO sealed FROM audit.events WHERE subject_id = of_subject;
    INSERT INTO audit.erasures VALUES (of_subject, sealed, now());
    RETURN sealed;
  END $$`;

export const retentionFunctions: readonly string[] = [
  ...[partitionOf, holdsOn, dueAt, facts, isClosed, requireDue, plan, read, recordArchive, drop, erase],
  'REVOKE ALL ON ALL FUNCTIONS IN SCHEMA audit FROM PUBLIC',
];
