/** As in 0003: a function of the owner, with a pinned search path, that checks for itself what it is asked for. */
const owned = "SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'";

/** A snapshot from before would not show a hold that was placed, or a record that was added, since. */
const fresh = `IF current_setting('transaction_isolation') <> 'read committed' THEN
      RAISE EXCEPTION 'only in a transaction at READ COMMITTED' USING ERRCODE = 'invalid_transaction_state';
    END IF;`;

/**
 * Drops a partition that is due, not held, in the archive as it is, and told of by the log; or, with no archive, one that is
 * empty. No hold is placed and no record added meanwhile.
 */
export const dropOfTold = `
  CREATE OR REPLACE FUNCTION audit.drop_partition(drop_id uuid, of_class text, of_month date, of_archive uuid) RETURNS bigint
  LANGUAGE plpgsql ${owned} SET lock_timeout = '5s' AS $$
  DECLARE
    partition regclass;
    fact record;
    positions int8multirange;
    told int8multirange;
    told_at bigint;
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
      -- The keeper is not believed: records that only the service makes, under a checkpoint, must tell of this very archive.
      SELECT range_agg(int8range((r ->> 0)::bigint, (r ->> 1)::bigint, '[]')), max(e.position) INTO told, told_at
        FROM audit.archives a
        JOIN audit.events e ON e.entity = 'audit' AND e.entity_id = a.id::text AND e.source = '/audit'
                           AND e.type = 'tradefleet.audit.partition-archived'
                           AND e.data ->> 'sha256' = encode(a.sha256, 'hex')
       CROSS JOIN LATERAL json_array_elements(e.data -> 'ranges') r
       WHERE a.id = of_archive;
      EXECUTE format('SELECT range_agg(int8range(position, position, ''[]'')) FROM %s', partition) INTO positions;
      IF told IS DISTINCT FROM positions
         OR NOT EXISTS (SELECT FROM audit.checkpoints c JOIN audit_work.head h ON h.origin = c.origin AND c.size <= h.size
                         WHERE c.size > told_at) THEN
        RAISE EXCEPTION 'the log does not tell that % % is archived', of_class, of_month USING ERRCODE = 'TF005';
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
