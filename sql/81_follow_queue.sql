-- What keeps jobs and results with the rows that they belong to.

-- Statements that take away results: of the rows of a relation with a key, or, if that is NULL, of all that have no row any more.
-- In columns that the options map, what was written there goes: they may hold other values, of rows that were never heard.
-- Of rows that are deleted (gone), nothing is left to be cleared in the source itself.
CREATE FUNCTION ai_audio.clearing(f ai_audio.followed, rows text, row_key text[], steps text[] DEFAULT NULL, gone boolean DEFAULT false) RETURNS text[]
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  source_key constant text[] := ai_audio.key_columns(f.source, f.key_index);
  statements text[] := '{}';
  step text;
  target regclass;
  key text[];
  columns text[];
  needed boolean;
  written text;
BEGIN
  FOR step, target IN SELECT s, t FROM unnest(f.steps, f.tables) x(s, t) JOIN pg_class c ON c.oid = t WHERE s = ANY (coalesce(clearing.steps, f.steps)) LOOP
    IF f.options #> ARRAY[step, 'into'] IS NULL THEN
      key := ai_audio.results_key(target, f.key);
      CONTINUE WHEN cardinality(key) IS DISTINCT FROM cardinality(f.key);
      statements := statements || CASE WHEN rows IS NULL
        THEN format('DELETE FROM %s t WHERE NOT EXISTS (SELECT FROM %s s WHERE %s)', target, f.source, ai_audio.key_join('t', key, 's', source_key))
        ELSE format('DELETE FROM %s t USING %s o WHERE %s', target, rows, ai_audio.key_join('t', key, 'o', row_key)) END;
    ELSE
      CONTINUE WHEN target = f.source AND (gone OR rows IS NULL);
      key := CASE WHEN target = f.source THEN source_key ELSE f.key END;
      SELECT array_agg(a.attname::text), bool_or(a.attnotnull) INTO columns, needed FROM jsonb_each_text(f.options #> ARRAY[step, 'into']) e
      JOIN pg_attribute a ON a.attrelid = target AND a.attname = e.value AND NOT a.attisdropped WHERE e.key <> 'table';
      CONTINUE WHEN columns IS NULL OR EXISTS (SELECT FROM unnest(key) k
        WHERE k NOT IN (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = target AND NOT a.attisdropped));
      written := ai_audio.key_join('j', f.key, 't', key) || ' AND j.written AND ' || CASE WHEN rows IS NULL
        THEN format('NOT EXISTS (SELECT FROM %s s WHERE %s)', f.source, ai_audio.key_join('t', key, 's', source_key))
        ELSE ai_audio.key_join('t', key, 'o', row_key) END;
      statements := statements || CASE WHEN needed THEN format('DELETE FROM %s t USING %s j%s WHERE %s', target, f.jobs, ', ' || rows || ' o', written)
        ELSE format('UPDATE %s t SET %s FROM %s j%s WHERE %s', target, (SELECT string_agg(format('%I = NULL', c), ', ') FROM unnest(columns) c),
          f.jobs, ', ' || rows || ' o', written) END;
    END IF;
  END LOOP;
  RETURN statements;
END
$$;
COMMENT ON FUNCTION ai_audio.clearing(ai_audio.followed, text, text[], text[], boolean) IS 'statements that take away results of a followed table';

-- What a trigger of a followed table has to run for a statement. It must not fail: a user's INSERT would.
-- The first INSERT among the statements of an UPDATE tells whether recordings changed; without any, the rest is for nothing.
CREATE FUNCTION ai_audio.queueing(follow_name text, name text, relation oid, operation text) RETURNS text[]
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  follow regclass := to_regclass(follow_name);
  f ai_audio.followed;
  key text[];
  same text;
  columns text[];
  changed text;
  partitioned boolean;
  rows_now text;
  gone text;
  priority text := '0';
  statements text[] := '{}';
  again constant text := ' DO UPDATE SET job = DEFAULT, state = ''waiting'', priority = EXCLUDED.priority, attempts = 0, kills = 0, due = NULL, since = now(), steps = NULL, sqlstate = NULL, error = NULL';
BEGIN
  IF follow IS NULL THEN -- renamed
    SELECT x.follow INTO follow FROM ai_audio.follows() x WHERE (x.f).name = queueing.name
      AND ((x.f).source = relation OR (x.f).source IN (SELECT a FROM pg_partition_ancestors(relation) a)) LIMIT 1;
  END IF;
  IF follow IS NOT NULL THEN
    EXECUTE format('SELECT * FROM %s LIMIT 1', follow) INTO f;
    key := ai_audio.key_columns(f.source, f.key_index);
  END IF;
  IF cardinality(key) IS DISTINCT FROM cardinality(f.key) OR NOT EXISTS (SELECT FROM pg_class WHERE oid = f.jobs) THEN
    RAISE WARNING 'ai_audio does not follow "%" any more: its key, or what was made for it, is gone', name
      USING HINT = 'Declare it anew: ai_audio_unfollow, ai_audio_follow.';
    IF f.paused IS NULL AND follow IS NOT NULL THEN
      EXECUTE format('UPDATE %s SET paused = %L', follow, 'the key of the table is gone');
    END IF;
    RETURN statements;
  END IF;
  IF relation <> f.source AND f.source NOT IN (SELECT a FROM pg_partition_ancestors(relation) a) THEN
    RETURN statements; -- a partition that was detached, and has its triggers still
  END IF;
  partitioned := (SELECT c.relkind = 'p' FROM pg_class c WHERE c.oid = f.source);
  rows_now := CASE WHEN partitioned THEN '' ELSE 'ONLY ' END || f.source;
  IF operation = 'DELETE' THEN
    -- A row may have its key again: put back in the same statement, and queued for that, or it never went, and what did was one of a table that inherits.
    RETURN ai_audio.clearing(f, format('(SELECT o.* FROM old_rows o WHERE NOT EXISTS (SELECT 1 FROM %s s JOIN %s j ON %s WHERE %s AND j.state = ''done''))', rows_now, f.jobs,
        ai_audio.key_join('j', f.key, 's', key), ai_audio.key_join('s', key, 'o', key)), key, NULL, true)
      || format('DELETE FROM %s j USING old_rows o WHERE %s AND NOT EXISTS (SELECT 1 FROM %s s WHERE %s)', f.jobs, ai_audio.key_join('j', f.key, 'o', key),
        rows_now, ai_audio.key_join('s', key, 'o', key));
  ELSIF operation = 'TRUNCATE' THEN
    RETURN ai_audio.clearing(f, NULL, key)
      || format('DELETE FROM %s j WHERE NOT EXISTS (SELECT 1 FROM %s s WHERE %s)', f.jobs, f.source, ai_audio.key_join('j', f.key, 's', key));
  END IF;
  IF EXISTS (SELECT FROM pg_class WHERE oid = f.priorities) THEN
    priority := format('coalesce((SELECT r.priority FROM %s r WHERE %s), 0)', f.priorities, ai_audio.key_join('r', f.key, 'n', key));
  END IF;
  -- Rows without a key: it was made nullable later.
  same := format('ROW(%s) IS NOT NULL', ai_audio.key_list(key, 'n.'));
  IF operation = 'INSERT' THEN
    statements := ARRAY[format('INSERT INTO %s (%s, priority) SELECT %s, %s FROM new_rows n WHERE %s ON CONFLICT (%s)%s', f.jobs, ai_audio.key_list(f.key),
      ai_audio.key_list(key, 'n.'), priority, same, ai_audio.key_list(f.key), again)];
    -- Of a partition that went unnoticed there may be results with this key.
    RETURN statements || CASE WHEN partitioned THEN ai_audio.clearing(f, 'new_rows', key, NULL, true) END;
  END IF;
  IF priority <> '0' THEN
    statements := ARRAY[format('UPDATE %s j SET priority = x.priority FROM (SELECT %s, %s AS priority FROM new_rows n) x WHERE %s AND j.priority <> x.priority', f.jobs,
      ai_audio.key_list(key, 'n.'), priority, ai_audio.key_join('j', f.key, 'x', key))];
  END IF;
  -- The columns that the view reads decide whether a recording has changed; bytes are compared, any type has them.
  columns := ARRAY(SELECT ai_audio.columns_read(f.recordings, f.source));
  changed := format('FROM new_rows n LEFT JOIN old_rows o ON %s WHERE %s AND ROW(%s)::record OPERATOR(pg_catalog.*<>) ROW(%s)::record',
    ai_audio.key_join('o', key, 'n', key), same, ai_audio.key_list(columns, 'o.'), ai_audio.key_list(columns, 'n.'));
  gone := format('FROM old_rows o WHERE NOT EXISTS (SELECT 1 FROM new_rows n WHERE %s)', ai_audio.key_join('o', key, 'n', key));
  -- A worker that is writing the row's results holds its job. Only when it is ours are the results looked for: these are seen then.
  RETURN statements || format('INSERT INTO %s (%s, priority) SELECT %s, %s %s ON CONFLICT (%s)%s', f.jobs, ai_audio.key_list(f.key),
      ai_audio.key_list(key, 'n.'), priority, changed, ai_audio.key_list(f.key), again)
    || ai_audio.clearing(f, format('(SELECT %s %s UNION SELECT %s %s)', ai_audio.key_list(key, 'n.'), changed, ai_audio.key_list(key, 'o.'), gone), key)
    || format('DELETE FROM %s j USING (SELECT * %s) o WHERE %s', f.jobs, gone, ai_audio.key_join('j', f.key, 'o', key));
END
$$;
COMMENT ON FUNCTION ai_audio.queueing(text, text, oid, text) IS 'what the triggers of a followed table run';

-- What cannot be run since a table has another owner, or something was renamed, must not be the user's error.
CREATE FUNCTION ai_audio.queueing_failed(follow_name text, name text, reason text) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RAISE WARNING 'paused "%", and what this statement writes is not noticed: %', name, reason
    USING HINT = 'When that is mended: ai_audio_resume. Of a table that has another owner now, the former one calls ai_audio_unfollow.';
  EXECUTE format('UPDATE %s SET paused = %L WHERE paused IS NULL', to_regclass(follow_name), reason);
EXCEPTION WHEN OTHERS THEN
  NULL; -- it is gone, or not to be written to
END
$$;
COMMENT ON FUNCTION ai_audio.queueing_failed(text, text, text) IS 'pauses a followed table whose triggers cannot do their work';

-- Queues rows without a job; of tables whose rows were not wanted when they were declared, those of new partitions. Gives how many it queued.
CREATE FUNCTION ai_audio.queue_missing(f ai_audio.followed, new_parts regclass[]) RETURNS bigint
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  key constant text[] := ai_audio.key_columns(f.source, f.key_index);
  wanted text := 'true';
  queued bigint;
BEGIN
  IF f.options -> 'existing' = 'false' THEN
    SELECT '(' || coalesce(string_agg(format('EXISTS (SELECT 1 FROM ONLY %s p WHERE %s)', p, ai_audio.key_join('p', key, 'r', f.key)), ' OR '), 'false') || ')' INTO wanted
    FROM unnest(new_parts) p JOIN pg_class c ON c.oid = p AND c.relkind <> 'p';
  END IF;
  EXECUTE format('INSERT INTO %1$s (%2$s, priority) SELECT %3$s, %5$s FROM %4$s r WHERE ROW(%3$s) IS NOT NULL AND NOT EXISTS (SELECT 1 FROM %1$s j WHERE %6$s) AND %7$s
    ORDER BY %3$s ON CONFLICT DO NOTHING',
    f.jobs, ai_audio.key_list(f.key), ai_audio.key_list(f.key, 'r.'), f.recordings, CASE WHEN EXISTS (SELECT FROM pg_class WHERE oid = f.priorities)
      THEN format('coalesce((SELECT p.priority FROM %s p WHERE %s), 0)', f.priorities, ai_audio.key_join('p', f.key, 'r', f.key)) ELSE '0' END,
    ai_audio.key_join('j', f.key, 'r', f.key), wanted);
  GET DIAGNOSTICS queued = ROW_COUNT;
  RETURN queued;
END
$$;
COMMENT ON FUNCTION ai_audio.queue_missing(ai_audio.followed, regclass[]) IS 'queues rows of a followed table that have no job';

-- The function of a followed table's triggers. It is looked for by name where the table is gone.
CREATE FUNCTION ai_audio.queue_function(follow regclass, f ai_audio.followed) RETURNS regproc
  LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $$
  SELECT p.oid::regproc FROM pg_proc p LEFT JOIN pg_trigger t ON t.tgfoid = p.oid AND t.tgrelid = f.source AND t.tgname = 'ai_audio_' || f.name || '_insert'
  WHERE p.prorettype = 'trigger'::regtype AND p.pronargs = 0
    AND (t.oid IS NOT NULL OR p.proname = f.name || '_queue' AND p.pronamespace = (SELECT c.relnamespace FROM pg_class c WHERE c.oid = follow))
  ORDER BY t.oid LIMIT 1
$$;
COMMENT ON FUNCTION ai_audio.queue_function(regclass, ai_audio.followed) IS 'the function of the triggers of a followed table';

-- Puts triggers on a table and its partitions where they are missing: what is written to a partition by its own name fires its own triggers only.
CREATE FUNCTION ai_audio.put_triggers(follow regclass, f ai_audio.followed) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  relation regclass;
  mine boolean;
  operation text;
BEGIN
  -- What was a partition is a table like others. (Postgres 13 would not attach it again with them.)
  FOR relation, operation IN SELECT t.tgrelid, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid, unnest(ARRAY['insert', 'update', 'delete', 'truncate']) o
    WHERE c.oid = ANY (f.parts) AND c.oid <> ALL (ai_audio.parts(f.source)) AND pg_has_role(c.relowner, 'USAGE') AND t.tgname = 'ai_audio_' || f.name || '_' || o
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', operation, relation);
  END LOOP;
  FOR relation, mine IN SELECT c.oid, pg_has_role(c.relowner, 'USAGE') FROM pg_class c WHERE c.oid = ANY (f.source || ai_audio.parts(f.source)) AND c.relkind IN ('r', 'p') LOOP
    CONTINUE WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = 'ai_audio_' || f.name || '_insert');
    IF NOT mine THEN
      RAISE WARNING 'what is written to partition % by its own name is not noticed: it has another owner', relation;
      CONTINUE;
    END IF;
    FOREACH operation IN ARRAY ARRAY['insert', 'update', 'delete', 'truncate'] LOOP
      EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION %s(%L, %L)', 'ai_audio_' || f.name || '_' || operation,
        operation, relation, CASE operation WHEN 'insert' THEN 'REFERENCING NEW TABLE AS new_rows'
          WHEN 'update' THEN 'REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows'
          WHEN 'delete' THEN 'REFERENCING OLD TABLE AS old_rows' ELSE '' END, ai_audio.queue_function(follow, f), follow, f.name);
      EXECUTE format('ALTER TRIGGER %I ON %s DEPENDS ON EXTENSION ai_audio', 'ai_audio_' || f.name || '_' || operation, relation);
    END LOOP;
  END LOOP;
END
$$;
COMMENT ON FUNCTION ai_audio.put_triggers(regclass, ai_audio.followed) IS 'puts the triggers of a followed table';

-- Makes good what no trigger told: jobs and results whose rows are gone go, rows without a job are queued; gives how many.
-- Rows that row level security hides are not gone: where it binds the owner, nothing is taken away.
CREATE FUNCTION ai_audio.refresh(follow regclass, triggers boolean) RETURNS bigint
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  f ai_audio.followed;
  parts regclass[];
  statement text;
  queued bigint;
BEGIN
  EXECUTE format('SELECT * FROM %s FOR UPDATE', follow) INTO f;
  IF cardinality(ai_audio.key_columns(f.source, f.key_index)) IS DISTINCT FROM cardinality(f.key) THEN
    RAISE object_not_in_prerequisite_state USING MESSAGE = format('the key of "%s" does not exist any more, or its index has another name', f.name),
      HINT = 'ai_audio_unfollow keeps the results; then ai_audio_follow the table anew.';
  END IF;
  parts := ai_audio.parts(f.source);
  IF triggers THEN
    PERFORM ai_audio.put_triggers(follow, f);
  END IF;
  IF NOT row_security_active(f.source) THEN
    FOREACH statement IN ARRAY ai_audio.clearing(f, NULL, NULL)
      || format('DELETE FROM %s j WHERE NOT EXISTS (SELECT 1 FROM %s r WHERE %s)', f.jobs, f.recordings, ai_audio.key_join('j', f.key, 'r', f.key)) LOOP
      EXECUTE statement;
    END LOOP;
  END IF;
  queued := ai_audio.queue_missing(f, ARRAY(SELECT p FROM unnest(parts) p WHERE p <> ALL (f.parts)));
  EXECUTE format('UPDATE %s SET parts = $1', follow) USING parts;
  RETURN queued;
END
$$;
COMMENT ON FUNCTION ai_audio.refresh(regclass, boolean) IS 'makes good what no trigger of a followed table told';
