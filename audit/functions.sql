-- The functions that the database runs by itself, and one that the application asks for. Installed by a migration,
-- repeated after every migrate.

-- One history row for each changed row of the statement, with its cause. Arguments: history table, primary key.
-- Columns are read at run time, so nothing is regenerated when a model changes; EXECUTE, because plpgsql would
-- cache the plan of the first, small statement and run it quadratically for a large one. The session's temporary
-- tables come last, by name: first, as they would be otherwise, one called audit_cause would excuse any write.
CREATE OR REPLACE FUNCTION audit_track() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
  cause_setting text := nullif(current_setting('rollcall.cause', true), '');
  who uuid;
  why text;
  columns text;
  new_columns text;
  old_columns text;
BEGIN
  IF cause_setting IS NULL THEN
    RAISE EXCEPTION 'no cause: % on % needs one', TG_OP, TG_TABLE_NAME
      USING ERRCODE = 'RC001', HINT = 'wrap the write in audit.cause.acting(Cause(kind=..., actor=..., reason=...))';
  END IF;
  SELECT user_id, reason INTO who, why FROM audit_cause
    WHERE id = cause_setting::bigint AND xid = pg_current_xact_id()::text::bigint;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the cause % was not made in this transaction', cause_setting
      USING ERRCODE = 'RC002', HINT = 'a cause explains the transaction that it was made in, and no other';
  END IF;
  SELECT string_agg(quote_ident(h.attname), ', ' ORDER BY h.attnum),
         string_agg('n.' || quote_ident(h.attname), ', ' ORDER BY h.attnum),
         string_agg('o.' || quote_ident(h.attname), ', ' ORDER BY h.attnum)
    INTO columns, new_columns, old_columns
    FROM pg_attribute h JOIN pg_attribute t ON t.attrelid = TG_RELID AND t.attname = h.attname
    WHERE h.attrelid = TG_ARGV[0]::regclass AND h.attnum > 0 AND NOT h.attisdropped
      AND t.attnum > 0 AND NOT t.attisdropped;
  IF TG_OP = 'INSERT' THEN
    EXECUTE format(
      'INSERT INTO %I (%s, history_date, history_type, history_user_id, history_change_reason, cause_id)
       SELECT %s, clock_timestamp(), ''+'', $1, $2, $3 FROM new_rows n', TG_ARGV[0], columns, new_columns)
      USING who, why, cause_setting::bigint;
  ELSIF TG_OP = 'DELETE' THEN
    EXECUTE format(
      'INSERT INTO %I (%s, history_date, history_type, history_user_id, history_change_reason, cause_id)
       SELECT %s, clock_timestamp(), ''-'', $1, $2, $3 FROM old_rows o', TG_ARGV[0], columns, old_columns)
      USING who, why, cause_setting::bigint;
  ELSE
    EXECUTE format(
      'INSERT INTO %I (%s, history_date, history_type, history_user_id, history_change_reason, cause_id)
       SELECT %s, clock_timestamp(), ''~'', $1, $2, $3 FROM new_rows n LEFT JOIN old_rows o ON o.%I = n.%I
       WHERE o.%I IS NULL OR ROW(%s)::record *<> ROW(%s)::record',
      TG_ARGV[0], columns, new_columns, TG_ARGV[1], TG_ARGV[1], TG_ARGV[1], new_columns, old_columns)
      USING who, why, cause_setting::bigint;
  END IF;
  RETURN NULL;
END $body$;

-- The key of a row is its identity in every history: it never changes.
CREATE OR REPLACE FUNCTION audit_keep_key() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
  RAISE EXCEPTION 'the primary key of % never changes', TG_TABLE_NAME USING ERRCODE = 'RC004';
END $body$;

-- Whether whoever writes erases or archives: under the eraser's role, and having said so.
CREATE OR REPLACE FUNCTION audit_erases() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $body$
  SELECT coalesce(current_setting('rollcall.erasure', true), '') = '1'
     AND pg_has_role(session_user, 'rollcall_eraser', 'MEMBER')
$body$;

-- What a row says of its own beginning (who, what, since when) is a fact: it never changes, but what tells of a person may
-- be erased. Arguments: the columns.
CREATE OR REPLACE FUNCTION audit_keep_facts() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
  IF audit_erases() THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'of a row of %, % never change: end it, and make another', TG_TABLE_NAME, array_to_string(TG_ARGV, ', ')
    USING ERRCODE = 'RC006';
END $body$;

-- Whether whoever writes owns the table, as migrations do, and the application never does.
CREATE OR REPLACE FUNCTION audit_owns(relation oid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $body$
  SELECT pg_has_role(current_user, relowner, 'MEMBER') FROM pg_class WHERE oid = relation
$body$;

-- Evidence is added, never changed: only recorded erasure, under its own role, may pass.
CREATE OR REPLACE FUNCTION audit_append_only() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
  IF audit_erases() THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'RC005';
END $body$;

-- The next months of every table that is cut by its uuid7 key: the present one and those after it, `wanted` in all. Run
-- as the owner, because the application may make no table; it takes a number and nothing else, and a month gets the
-- policies and the trigger of its parent before it is one of its partitions. Made apart and attached: that waits for
-- nobody who reads or writes another month. Rows that came before their month was made lie in the default partition;
-- they are as good there, but their month can't be made any more: it is returned as not made.
CREATE OR REPLACE FUNCTION audit_add_months(wanted integer) RETURNS TABLE (partition text, is_made boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
  parent record;
  policy record;
  first timestamp := date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC');
  low uuid;
  high uuid;
BEGIN
  IF wanted NOT BETWEEN 1 AND 60 THEN
    RAISE EXCEPTION 'months are made 1 to 60 ahead, not %', wanted USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- Two at once would make the same month.
  PERFORM pg_advisory_xact_lock(hashtextextended('audit_add_months', 0));
  FOR parent IN
    SELECT oid, relname, relrowsecurity, relforcerowsecurity,
           EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgname = 'audit_append_only') AS is_evidence
      FROM pg_class c WHERE relkind = 'p' AND relnamespace = 'public'::regnamespace
       AND relowner = current_user::regrole ORDER BY relname
  LOOP
    FOR ahead IN 0 .. wanted - 1 LOOP
      partition := parent.relname || to_char(first + make_interval(months => ahead), '"_"YYYY"_"MM');
      CONTINUE WHEN EXISTS (SELECT FROM pg_inherits WHERE inhparent = parent.oid
                              AND inhrelid = to_regclass(format('public.%I', partition)));
      SELECT (lpad(to_hex(min(ms)), 12, '0') || repeat('0', 20))::uuid,
             (lpad(to_hex(max(ms)), 12, '0') || repeat('0', 20))::uuid INTO low, high
        FROM (SELECT (extract(epoch FROM first + make_interval(months => n)) * 1000)::bigint AS ms
                FROM generate_series(ahead, ahead + 1) n) bounds;
      BEGIN
        EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING ALL)', partition, parent.relname);
        IF parent.relrowsecurity THEN
          EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', partition);
        END IF;
        IF parent.relforcerowsecurity THEN
          EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', partition);
        END IF;
        FOR policy IN
          SELECT polname, pg_get_expr(polqual, polrelid) AS seen, pg_get_expr(polwithcheck, polrelid) AS written
            FROM pg_policy WHERE polrelid = parent.oid
        LOOP
          EXECUTE format('CREATE POLICY %I ON public.%I USING (%s) WITH CHECK (%s)',
                         policy.polname, partition, policy.seen, policy.written);
        END LOOP;
        IF parent.is_evidence THEN
          EXECUTE format('CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.%I'
                         ' FOR EACH STATEMENT EXECUTE FUNCTION public.audit_append_only()', partition);
        END IF;
        EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                       parent.relname, partition, low, high);
        is_made := true;
      EXCEPTION WHEN check_violation THEN
        is_made := false;
      END;
      RETURN NEXT;
    END LOOP;
  END LOOP;
END $body$;
REVOKE ALL ON FUNCTION audit_add_months(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_add_months(integer) TO rollcall_app;
