-- Keeping up: the rows of a followed table are worked on as they arrive.
--
-- All that belongs to a followed table belongs to its owner and lies beside it: NAME_follow (one row: what was declared),
-- NAME_jobs (one row per recording), NAME_recordings (a view: key and recording) and a table of results per step. So privileges,
-- dump, restore and DROP are Postgres' own, and nothing here needs more rights than the caller has. Followed tables are found by
-- the type of NAME_follow. What names cannot keep is kept by dependency: the view follows renames, regclass follows those of tables.
CREATE TYPE ai_audio.followed AS (
  name text,
  source regclass,
  recordings regclass,
  jobs regclass,
  key text[],
  key_index text,
  steps text[],
  tables regclass[],
  options jsonb,
  max_attempts integer,
  paused text
);
COMMENT ON TYPE ai_audio.followed IS 'what ai_audio_follow declared; a table of this type stands beside each followed table';

-- The followed tables. What the type of NAME_jobs promises is checked here, so that those who look at others' tables run none
-- of their code: plain tables of the expected columns, one owner for all of it.
CREATE FUNCTION ai_audio.follows(OUT follow regclass, OUT owner oid, OUT f ai_audio.followed) RETURNS SETOF record
  LANGUAGE plpgsql STABLE PARALLEL RESTRICTED COST 1000 ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  FOR follow, owner IN
    SELECT c.oid, c.relowner FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
    WHERE d.refclassid = 'pg_type'::regclass AND d.refobjid = 'ai_audio.followed'::regtype AND d.classid = 'pg_class'::regclass
      AND c.reloftype = d.refobjid AND c.relkind = 'r' AND NOT c.relrowsecurity AND pg_has_role(c.relowner, 'USAGE')
    ORDER BY c.oid
  LOOP
    FOR f IN EXECUTE format('SELECT * FROM %s LIMIT 1', follow) LOOP
      CONTINUE WHEN NOT EXISTS (
        SELECT FROM pg_class c WHERE c.oid = f.jobs AND c.relkind = 'r' AND NOT c.relrowsecurity AND c.relowner = owner);
      CONTINUE WHEN (
        SELECT count(*) FROM pg_attribute a
        JOIN (VALUES ('job', 'bigint'), ('state', 'text'), ('attempts', 'integer'), ('kills', 'integer'), ('due', 'timestamptz'),
          ('since', 'timestamptz'), ('seconds', 'float8'), ('sqlstate', 'text'), ('error', 'text')) w(name, type)
          ON a.attname = w.name AND a.atttypid = w.type::regtype
        WHERE a.attrelid = f.jobs AND NOT a.attisdropped) < 9;
      RETURN NEXT;
    END LOOP;
  END LOOP;
END
$$;
COMMENT ON FUNCTION ai_audio.follows() IS 'the followed tables of those whose rights the current user has';

-- The caller's own followed table of a name.
CREATE FUNCTION ai_audio.own_follow(name text, OUT follow regclass, OUT f ai_audio.followed) RETURNS record
  LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  mine oid := (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
  other name;
BEGIN
  SELECT x.follow INTO follow FROM ai_audio.follows() x WHERE x.owner = mine AND (x.f).name = own_follow.name;
  IF follow IS NOT NULL THEN
    EXECUTE format('SELECT * FROM %s LIMIT 1', follow) INTO f;
  ELSE
    SELECT r.rolname INTO other FROM ai_audio.follows() x JOIN pg_roles r ON r.oid = x.owner WHERE (x.f).name = own_follow.name LIMIT 1;
    IF other IS NOT NULL THEN
      RAISE insufficient_privilege USING MESSAGE = format('"%s" is followed by %I', own_follow.name, other),
        HINT = format('SET ROLE %I first: what its owner declared runs with the owner''s rights only.', other);
    END IF;
    RAISE undefined_object USING MESSAGE = format('nothing is followed under the name "%s"', own_follow.name),
      HINT = 'See the view ai_audio_progress.';
  END IF;
END
$$;
COMMENT ON FUNCTION ai_audio.own_follow(text) IS 'a followed table of the current user, by name';

-- Columns of results, per step.
CREATE FUNCTION ai_audio.step_columns(step text, vector text, dimensions integer, OUT name text, OUT type text) RETURNS SETOF record
  LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
  SELECT c.name, CASE WHEN c.step = 'voiceprint' THEN format('%s(%s)', vector, dimensions) WHEN c.type = 'vector' THEN vector ELSE c.type END
  FROM (VALUES
    ('voiceprint', 'voiceprint', 'vector'),
    ('sentences', 'channel_id', 'integer'), ('sentences', 'sentence_id', 'integer'), ('sentences', 'speaker_id', 'integer'),
    ('sentences', 'start_time', 'integer'), ('sentences', 'end_time', 'integer'), ('sentences', 'text', 'text'),
    ('sentences', 'language', 'text'), ('sentences', 'confidence', 'real'), ('sentences', 'words', 'jsonb'),
    ('sentences', 'speaker_name', 'text'), ('sentences', 'speaker_probability', 'float8'), ('sentences', 'embedding', 'vector'),
    ('speakers', 'turn', 'integer'), ('speakers', 'speaker_id', 'integer'), ('speakers', 'start_time', 'integer'),
    ('speakers', 'end_time', 'integer'), ('speakers', 'overlap', 'boolean'), ('speakers', 'confidence', 'real'),
    ('speakers', 'embedding', 'vector'), ('speakers', 'name', 'text'), ('speakers', 'seconds', 'float8'),
    ('quality', 'speech_seconds', 'float8'), ('quality', 'duration_seconds', 'float8'), ('quality', 'snr_db', 'float8'),
    ('quality', 'clipping', 'float8'), ('quality', 'bandwidth_hz', 'integer'), ('quality', 'fit_to_enrol', 'boolean'),
    ('quality', 'reason', 'text'), ('quality', 'speakers', 'integer'),
    ('inspection', 'result', 'jsonb')
  ) AS c(step, name, type)
  WHERE c.step = step_columns.step
$$;
COMMENT ON FUNCTION ai_audio.step_columns(text, text, integer) IS 'the columns of results of a step of followed tables';

-- The results of all steps, in one statement: what they share, such as decoding, is shared there.
CREATE FUNCTION ai_audio.hear(recording anyelement, steps text[], options jsonb) RETURNS jsonb
  LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE COST 10000000 SET search_path = pg_catalog, pg_temp SET client_min_messages = error
AS $$
DECLARE
  o jsonb;
  step text;
  parts text[] := '{}';
  heard jsonb;
BEGIN
  FOREACH step IN ARRAY steps LOOP
    o := CASE WHEN jsonb_typeof(options -> step) = 'object' THEN options -> step ELSE '{}' END - 'into';
    parts := parts || format('%L', step) || CASE step
      WHEN 'voiceprint' THEN format('(SELECT jsonb_build_array(jsonb_build_object(''voiceprint'', @extschema@.ai_audio_embed(%L, $1, %L::jsonb)::text)))',
        coalesce(o ->> 'model', 'audio_embedding'), o - 'model')
      WHEN 'sentences' THEN format('(SELECT jsonb_agg(s) FROM @extschema@.ai_audio_sentences($1, %L::text, %L::jsonb) s)', o ->> 'model', o - 'model')
      WHEN 'speakers' THEN format('(SELECT jsonb_agg(to_jsonb(d) || jsonb_build_object(''turn'', d.turn)) FROM @extschema@.ai_audio_diarize($1, %L::jsonb)
        WITH ORDINALITY d(speaker_id, start_time, end_time, overlap, confidence, embedding, name, seconds, turn))', o)
      WHEN 'quality' THEN format('(SELECT jsonb_agg(q) FROM @extschema@.ai_audio_quality($1, %L::jsonb) q)', o)
      WHEN 'inspection' THEN format('(SELECT jsonb_agg(jsonb_build_object(''result'', to_jsonb(i))) FROM @extschema@.ai_audio_inspect($1, %L::%s, %L::jsonb) i)',
        o ->> 'policy', CASE jsonb_typeof(o -> 'policy') WHEN 'string' THEN 'text' ELSE 'jsonb' END, o - 'policy')
      END;
  END LOOP;
  EXECUTE format('SELECT jsonb_build_object(%s)', array_to_string(parts, ', ')) INTO heard USING recording;
  RETURN heard;
END
$$;
COMMENT ON FUNCTION ai_audio.hear(anyelement, text[], jsonb) IS 'the results of several steps on one recording';

-- The columns of the key as they are called now, in the order of the jobs' key columns.
CREATE FUNCTION ai_audio.key_columns(source regclass, key_index text) RETURNS text[]
  LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT array_agg(a.attname::text ORDER BY k.n)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid, unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, n), pg_attribute a
  WHERE i.indrelid = source AND CASE WHEN key_index IS NULL THEN i.indisprimary ELSE c.relname = key_index END
    AND k.n <= i.indnkeyatts AND a.attrelid = source AND a.attnum = k.attnum
$$;
COMMENT ON FUNCTION ai_audio.key_columns(regclass, text) IS 'the columns of the key of a followed table';

-- "a.x = b.y AND ...".
CREATE FUNCTION ai_audio.key_join(a text, a_columns text[], b text, b_columns text[]) RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT string_agg(format('%s.%I = %s.%I', a, x, b, y), ' AND ') FROM unnest(a_columns, b_columns) AS k(x, y)
$$;
COMMENT ON FUNCTION ai_audio.key_join(text, text[], text, text[]) IS 'the condition that two keys are the same';

CREATE FUNCTION ai_audio.key_list(columns text[], prefix text DEFAULT '') RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT string_agg(prefix || quote_ident(c), ', ' ORDER BY n) FROM unnest(columns) WITH ORDINALITY k(c, n)
$$;
COMMENT ON FUNCTION ai_audio.key_list(text[], text) IS 'columns, separated by commas';

-- What a trigger of a followed table has to run for a statement; NULL for nothing. It must not fail: a user's INSERT would.
CREATE FUNCTION ai_audio.queueing(follow_name text, name text, relation oid, operation text) RETURNS text
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  follow regclass := to_regclass(follow_name);
  f ai_audio.followed;
  key text[];
  changed text;
  again constant text := ' DO UPDATE SET job = DEFAULT, state = ''waiting'', attempts = 0, kills = 0, due = NULL, since = now(), steps = NULL, sqlstate = NULL, error = NULL';
  priority text;
BEGIN
  IF follow IS NULL THEN -- renamed
    SELECT x.follow INTO follow FROM ai_audio.follows() x WHERE (x.f).name = queueing.name
      AND (x.f).source = coalesce(pg_partition_root(relation), relation) LIMIT 1;
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
    RETURN NULL;
  END IF;
  IF operation = 'DELETE' THEN
    RETURN format('DELETE FROM %s j USING old_rows o WHERE %s', f.jobs, ai_audio.key_join('j', f.key, 'o', key));
  ELSIF operation = 'TRUNCATE' THEN
    RETURN format('DELETE FROM %s j WHERE NOT EXISTS (SELECT 1 FROM %s s WHERE %s)', f.jobs, f.source, ai_audio.key_join('j', f.key, 's', key));
  END IF;
  priority := CASE WHEN f.options ? 'priority'
    THEN format('coalesce((SELECT r.priority FROM %s r WHERE %s), 0)', f.recordings, ai_audio.key_join('r', f.key, 'n', key)) ELSE '0' END;
  IF operation = 'INSERT' THEN
    RETURN format('INSERT INTO %s (%s, priority) SELECT %s, %s FROM new_rows n ON CONFLICT (%s)%s', f.jobs, ai_audio.key_list(f.key),
      ai_audio.key_list(key, 'n.'), priority, ai_audio.key_list(f.key), again);
  END IF;
  -- The columns that the view reads decide whether a recording has changed; bytes are compared, any type has them.
  SELECT string_agg(format('x.%I', a.attname), ', ') INTO changed
  FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
  JOIN pg_attribute a ON d.refclassid = 'pg_class'::regclass AND a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
  WHERE w.ev_class = f.recordings AND d.refobjid = f.source AND d.refobjsubid > 0 AND NOT a.attisdropped;
  RETURN format('WITH gone AS (DELETE FROM %1$s j USING old_rows o WHERE %2$s AND NOT EXISTS (SELECT 1 FROM new_rows n WHERE %3$s))
    INSERT INTO %1$s (%4$s, priority) SELECT %5$s, %6$s FROM new_rows n LEFT JOIN old_rows o ON %3$s
    WHERE ROW(%7$s)::record OPERATOR(pg_catalog.*<>) ROW(%8$s)::record ON CONFLICT (%4$s)%9$s',
    f.jobs, ai_audio.key_join('j', f.key, 'o', key), ai_audio.key_join('o', key, 'n', key), ai_audio.key_list(f.key),
    ai_audio.key_list(key, 'n.'), priority, replace(changed, 'x.', 'o.'), replace(changed, 'x.', 'n.'), again);
END
$$;
COMMENT ON FUNCTION ai_audio.queueing(text, text, oid, text) IS 'what the triggers of a followed table run';

-- Whether a table was made for the results of a step: only such a table is written to, and dropped, unasked.
CREATE FUNCTION ai_audio.is_results(target regclass) RETURNS boolean
  LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(obj_description(target, 'pg_class'), '') LIKE 'results of ai\_audio''s step %'
$$;
COMMENT ON FUNCTION ai_audio.is_results(regclass) IS 'whether ai_audio_follow made the table';

-- Queues rows without a job and drops jobs without a row; gives how many it queued.
CREATE FUNCTION ai_audio.queue_missing(f ai_audio.followed) RETURNS bigint
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  queued bigint;
BEGIN
  EXECUTE format('DELETE FROM %s j WHERE NOT EXISTS (SELECT 1 FROM %s r WHERE %s)', f.jobs, f.recordings, ai_audio.key_join('j', f.key, 'r', f.key));
  EXECUTE format('INSERT INTO %1$s (%2$s, priority) SELECT %3$s, %5$s FROM %4$s r WHERE NOT EXISTS (SELECT 1 FROM %1$s j WHERE %6$s)
    ORDER BY %3$s ON CONFLICT DO NOTHING',
    f.jobs, ai_audio.key_list(f.key), ai_audio.key_list(f.key, 'r.'), f.recordings,
    CASE WHEN f.options ? 'priority' THEN 'coalesce(r.priority, 0)' ELSE '0' END, ai_audio.key_join('j', f.key, 'r', f.key));
  GET DIAGNOSTICS queued = ROW_COUNT;
  RETURN queued;
END
$$;
COMMENT ON FUNCTION ai_audio.queue_missing(ai_audio.followed) IS 'queues rows of a followed table that have no job';

-- Puts triggers on a table, or on a partition, where they are missing: what is written to a partition by its own name fires its own triggers only.
CREATE FUNCTION ai_audio.put_triggers(name text, follow regclass, queue_function text, source regclass) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  relation regclass;
  operation text;
  added integer := 0;
BEGIN
  FOR relation IN
    SELECT source UNION SELECT p.relid FROM pg_partition_tree(source) p JOIN pg_class c ON c.oid = p.relid AND c.relkind IN ('r', 'p')
  LOOP
    CONTINUE WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = 'ai_audio_' || name || '_insert');
    FOREACH operation IN ARRAY ARRAY['insert', 'update', 'delete', 'truncate'] LOOP
      EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION %s(%L, %L)', 'ai_audio_' || name || '_' || operation,
        operation, relation, CASE operation WHEN 'insert' THEN 'REFERENCING NEW TABLE AS new_rows'
          WHEN 'update' THEN 'REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows'
          WHEN 'delete' THEN 'REFERENCING OLD TABLE AS old_rows' ELSE '' END, queue_function, follow, name);
      EXECUTE format('ALTER TRIGGER %I ON %s DEPENDS ON EXTENSION ai_audio', 'ai_audio_' || name || '_' || operation, relation);
    END LOOP;
    added := added + 1;
  END LOOP;
  RETURN added;
END
$$;
COMMENT ON FUNCTION ai_audio.put_triggers(text, regclass, text, regclass) IS 'puts the triggers of a followed table';

CREATE FUNCTION ai_audio_follow(source regclass, name text DEFAULT NULL, options jsonb DEFAULT '{}') RETURNS text
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  all_steps constant text[] := '{voiceprint,sentences,speakers,quality,inspection}';
  known constant text[] := '{recording,key,steps,existing,order,priority,max_attempts}'::text[] || all_steps;
  o jsonb := coalesce(options, '{}');
  me oid := (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
  space name;
  owner oid;
  kind "char";
  title text := ai_audio_follow.name;
  prefix text;
  steps text[];
  step text;
  recording text;
  wrong text;
  key text[];
  key_types text[];
  key_index text;
  vector_type text;
  vector_space text;
  dimensions integer;
  tables regclass[] := '{}';
  target text;
  columns text;
  before ai_audio.followed;
  existing_follow regclass;
  changed text[];
  f ai_audio.followed;
BEGIN
  IF source IS NULL THEN
    RETURN NULL;
  END IF;
  SELECT n.nspname, c.relowner, c.relkind, coalesce(title, c.relname) INTO space, owner, kind, title
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ai_audio_follow.source;
  IF kind IS NULL OR kind NOT IN ('r', 'p') OR (SELECT relispartition OR relpersistence = 't' FROM pg_class c WHERE c.oid = ai_audio_follow.source) THEN
    RAISE wrong_object_type USING MESSAGE = format('"%s" cannot be followed: it is not a table of its own', source);
  END IF;
  IF owner <> me THEN
    RAISE insufficient_privilege USING MESSAGE = format('must be owner of table %s', source),
      HINT = format('SET ROLE %I first: recordings are read, and results are kept, with the owner''s rights.', pg_get_userbyid(owner));
  END IF;
  IF title !~ '^[[:alnum:]_]+$' OR length(title) > 40 THEN
    RAISE invalid_parameter_value USING MESSAGE = 'a name to follow by has 1 to 40 letters, digits and underscores: give one';
  END IF;
  IF jsonb_typeof(o) <> 'object' THEN
    RAISE invalid_parameter_value USING MESSAGE = 'options are a JSON object';
  END IF;
  SELECT k INTO wrong FROM jsonb_object_keys(o) k WHERE k <> ALL (known) LIMIT 1;
  IF wrong IS NOT NULL THEN
    RAISE invalid_parameter_value USING MESSAGE = format('unknown option "%s"', wrong), HINT = format('Known options: %s.', array_to_string(known, ', '));
  END IF;
  -- What is to be done: {"steps": ["voiceprint"]} and {"voiceprint": {...}} say the same.
  SELECT array_agg(s ORDER BY n) INTO steps FROM unnest(all_steps) WITH ORDINALITY a(s, n)
  WHERE (o ? s AND o -> s NOT IN ('false', 'null')) OR (jsonb_typeof(o -> 'steps') = 'array' AND o -> 'steps' ? s);
  SELECT e INTO wrong FROM jsonb_array_elements_text(CASE jsonb_typeof(o -> 'steps') WHEN 'array' THEN o -> 'steps' ELSE '[]' END) e WHERE e <> ALL (all_steps);
  IF wrong IS NOT NULL OR (o ? 'steps' AND jsonb_typeof(o -> 'steps') <> 'array') THEN
    RAISE invalid_parameter_value USING MESSAGE = format('option "steps" is a list of %s', array_to_string(all_steps, ', '));
  END IF;
  steps := coalesce(steps, '{voiceprint}');
  IF 'inspection' = ANY (steps) AND o #>> '{inspection,policy}' IS NULL THEN
    RAISE invalid_parameter_value USING MESSAGE = 'step "inspection" needs a policy: option "policy" in it is text or an array of rules',
      HINT = 'See ai_audio_inspect in docs/inspect.md.';
  END IF;
  IF coalesce(o ->> 'order', 'oldest') NOT IN ('oldest', 'newest') THEN
    RAISE invalid_parameter_value USING MESSAGE = 'option "order" is "oldest" or "newest"';
  END IF;
  IF o ? 'max_attempts' AND NOT (jsonb_typeof(o -> 'max_attempts') = 'number' AND (o ->> 'max_attempts')::numeric BETWEEN 1 AND 100) THEN
    RAISE invalid_parameter_value USING MESSAGE = 'option "max_attempts" is a number from 1 to 100';
  END IF;
  recording := o ->> 'recording';
  IF recording IS NULL THEN
    RAISE invalid_parameter_value USING MESSAGE = 'option "recording" is missing: the column, or an expression, that names or holds the recording',
      HINT = format('Columns of %s: %s.', source, (SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = ai_audio_follow.source AND a.attnum > 0 AND NOT a.attisdropped));
  END IF;
  IF EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = ai_audio_follow.source AND a.attname = recording AND a.attnum > 0 AND NOT a.attisdropped) THEN
    recording := quote_ident(recording);
  END IF;
  -- The key: the primary key, or a unique index on the columns named.
  SELECT c.relname, (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, n) JOIN pg_attribute a
      ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.n <= i.indnkeyatts)
    INTO key_index, key
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
  WHERE i.indrelid = ai_audio_follow.source AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
    AND CASE WHEN o ? 'key' THEN ai_audio.key_columns(ai_audio_follow.source, c.relname) =
      CASE jsonb_typeof(o -> 'key') WHEN 'array' THEN ARRAY(SELECT jsonb_array_elements_text(o -> 'key')) ELSE ARRAY[o ->> 'key'] END ELSE i.indisprimary END
  LIMIT 1;
  IF key IS NULL THEN
    RAISE invalid_parameter_value USING MESSAGE = CASE WHEN o ? 'key' THEN format('option "key": %s has no unique index on these columns', source)
      ELSE format('%s has no primary key', source) END, HINT = 'Results need a row to belong to: add a primary key, or name the columns of a unique index in option "key".';
  END IF;
  IF NOT o ? 'key' THEN
    key_index := NULL;
  END IF;
  SELECT array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY k.n) INTO key_types FROM unnest(key) WITH ORDINALITY k(name, n)
  JOIN pg_attribute a ON a.attrelid = ai_audio_follow.source AND a.attname = k.name;
  SELECT format('%I.%I', n.nspname, t.typname), n.nspname INTO vector_type, vector_space FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype
  JOIN pg_namespace n ON n.oid = t.typnamespace WHERE p.oid = '@extschema@.ai_audio_embed(text)'::regprocedure;
  SELECT m.dimensions INTO dimensions FROM @extschema@.ai_audio_models m WHERE m.task = 'speaker-embedding'
    AND (m.name = coalesce(o #>> '{voiceprint,model}', 'audio_embedding') OR coalesce(o #>> '{voiceprint,model}', 'audio_embedding') = ANY (m.aliases));
  -- How long voiceprints are is a matter of the declaration, whatever the worker's setting.
  IF 'voiceprint' = ANY (steps) AND jsonb_typeof(o #> '{voiceprint,dimensions}') IS DISTINCT FROM 'number' THEN
    dimensions := greatest(dimensions, nullif(current_setting('ai_audio.dimensions', true), '')::integer);
    o := o || jsonb_build_object('voiceprint', CASE jsonb_typeof(o -> 'voiceprint') WHEN 'object' THEN o -> 'voiceprint' ELSE '{}' END
      || jsonb_build_object('dimensions', dimensions));
  ELSIF 'voiceprint' = ANY (steps) THEN
    dimensions := (o #>> '{voiceprint,dimensions}')::numeric;
  END IF;
  -- Wrong options are better known now than from a million failed rows: no recording is read before they are.
  FOREACH step IN ARRAY steps LOOP
    BEGIN
      PERFORM ai_audio.hear('\x'::bytea, ARRAY[step], o);
    EXCEPTION WHEN OTHERS THEN
      IF SQLSTATE IN ('22023', '42704', '42883', '22P02') THEN
        RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = format('step "%s": %s', step, SQLERRM);
      END IF;
    END;
    SELECT c.name INTO wrong FROM ai_audio.step_columns(step, vector_type, dimensions) c WHERE c.name = ANY (key);
    IF wrong IS NOT NULL THEN
      RAISE invalid_parameter_value USING MESSAGE = format('key column "%s" is also a column of results of step "%s"', wrong, step);
    END IF;
  END LOOP;
  IF key && '{job,state,attempts,kills,due,since,steps,seconds,sqlstate,error,priority,recording}' THEN
    RAISE invalid_parameter_value USING MESSAGE = 'key columns cannot be called like those of the jobs: job, state, attempts, kills, due, since, steps, seconds, sqlstate, error, priority, recording';
  END IF;
  prefix := format('%I', space) || '.';
  existing_follow := to_regclass(prefix || quote_ident(title || '_follow'));
  IF existing_follow IS NOT NULL THEN
    SELECT (x.f).* INTO before FROM ai_audio.follows() x WHERE x.follow = existing_follow AND x.owner = me;
    IF before.source IS DISTINCT FROM source THEN
      RAISE duplicate_table USING MESSAGE = format('"%s" is taken in schema %s', title || '_follow', space), HINT = 'Give another name.';
    END IF;
    IF coalesce(before.options #>> '{voiceprint,model}', '') <> coalesce(o #>> '{voiceprint,model}', '') AND 'voiceprint' = ANY (before.steps) THEN
      RAISE feature_not_supported USING MESSAGE = 'voiceprints of two models must not meet in one column',
        HINT = format('Follow the table by a second name, such as %s, with the new model; when ai_audio_progress shows it done, search there and ai_audio_unfollow(%L, false).', title || '_2', title);
    END IF;
    IF before.key <> key OR coalesce(before.options ->> 'priority', '') <> coalesce(o ->> 'priority', '')
       OR coalesce(before.options ->> 'order', 'oldest') <> coalesce(o ->> 'order', 'oldest') THEN
      RAISE feature_not_supported USING MESSAGE = 'key, order and priority of a followed table stay as they are', HINT = format('ai_audio_unfollow(%L) and follow it anew.', title);
    END IF;
  ELSE
    IF EXISTS (SELECT FROM ai_audio.follows() x WHERE x.owner = me AND (x.f).name = title) THEN
      RAISE duplicate_object USING MESSAGE = format('you follow another table by the name "%s"', title), HINT = 'Give another name.';
    END IF;
    -- Names in the expression are the caller's.
    EXECUTE format('CREATE VIEW %s%I AS SELECT %s, (%s)%s AS recording%s FROM %s AS %I', prefix, title || '_recordings', ai_audio.key_list(key), recording,
      CASE WHEN (SELECT a.atttypid = 'bytea'::regtype FROM pg_attribute a WHERE a.attrelid = ai_audio_follow.source AND format('%I', a.attname) = recording)
        OR o ->> 'recording' ~* '::\s*bytea\s*$' THEN '' ELSE '::text' END,
      CASE WHEN o ? 'priority' THEN format(', (%s)::float8 AS priority', o ->> 'priority') ELSE '' END, source, (SELECT relname FROM pg_class WHERE oid = source));
    columns := (SELECT string_agg(format('%I %s NOT NULL', k.name, k.type), ', ') FROM unnest(key, key_types) k(name, type));
    EXECUTE format('CREATE TABLE %s%I (%s, job bigint NOT NULL GENERATED BY DEFAULT AS IDENTITY, state text NOT NULL DEFAULT ''waiting''
      CHECK (state IN (''waiting'', ''running'', ''later'', ''done'', ''failed'')), priority float8 NOT NULL DEFAULT 0, attempts integer NOT NULL DEFAULT 0,
      kills integer NOT NULL DEFAULT 0, due timestamptz, since timestamptz NOT NULL DEFAULT now(), seconds float8, steps text[], sqlstate text, error text, PRIMARY KEY (%s))',
      prefix, title || '_jobs', columns, ai_audio.key_list(key));
    EXECUTE format('CREATE INDEX ON %s%I (priority DESC, job %s) WHERE state = ''waiting''', prefix, title || '_jobs', CASE WHEN o ->> 'order' = 'newest' THEN 'DESC' ELSE 'ASC' END);
    EXECUTE format('CREATE INDEX ON %s%I (job) WHERE state = ''running''', prefix, title || '_jobs');
    EXECUTE format('CREATE INDEX ON %s%I (due) WHERE state = ''later''', prefix, title || '_jobs');
    EXECUTE format('CREATE TABLE %s%I OF ai_audio.followed', prefix, title || '_follow');
    EXECUTE format('CREATE FUNCTION %s%I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS %L', prefix, title || '_queue',
      E'-- Whoever writes to the table, jobs are queued with the rights of its owner.\nDECLARE\n  what text := ai_audio.queueing(TG_ARGV[0], TG_ARGV[1], TG_RELID, TG_OP);\n'
      'BEGIN\n  IF what IS NOT NULL THEN\n    EXECUTE what;\n  END IF;\n  RETURN NULL;\nEND');
    EXECUTE format('REVOKE ALL ON FUNCTION %s%I() FROM PUBLIC', prefix, title || '_queue');
  END IF;
  -- A table of results per step.
  FOREACH step IN ARRAY steps LOOP
    target := o #>> ARRAY[step, 'into', 'table'];
    IF target IS NOT NULL THEN
      IF step NOT IN ('voiceprint', 'quality') THEN
        RAISE invalid_parameter_value USING MESSAGE = format('step "%s" gives several rows per recording: option "into" is for voiceprint and quality', step);
      END IF;
      IF to_regclass(target) IS NULL THEN
        target := prefix || quote_ident(target);
      END IF;
      IF to_regclass(target) IS NULL THEN
        RAISE undefined_table USING MESSAGE = format('step "%s": there is no table "%s" to put results into', step, o #>> ARRAY[step, 'into', 'table']);
      END IF;
      SELECT e.value INTO wrong FROM jsonb_each_text(o #> ARRAY[step, 'into']) e WHERE e.key <> 'table'
        AND (NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass(target) AND a.attname = e.value AND a.attnum > 0 AND NOT a.attisdropped)
          OR NOT EXISTS (SELECT FROM ai_audio.step_columns(step, vector_type, dimensions) c WHERE c.name = e.key));
      IF wrong IS NOT NULL THEN
        RAISE undefined_column USING MESSAGE = format('step "%s": option "into" names a result and its column in %s; "%s" is none', step, target, wrong);
      END IF;
    ELSE
      target := prefix || quote_ident(title || '_' || step);
      IF to_regclass(target) IS NOT NULL AND NOT ai_audio.is_results(to_regclass(target)) THEN
        RAISE duplicate_table USING MESSAGE = format('step "%s" keeps its results in %s, and there is such a table already', step, target),
          HINT = 'Give another name to follow by, rename that table, or name it in option "into" (voiceprint and quality).';
      END IF;
      IF to_regclass(target) IS NULL THEN
        EXECUTE format('CREATE TABLE %s (%s, %s, PRIMARY KEY (%s), FOREIGN KEY (%s) REFERENCES %s (%s) ON DELETE CASCADE ON UPDATE CASCADE)', target,
          (SELECT string_agg(format('%I %s', k.name, k.type), ', ') FROM unnest(key, key_types) k(name, type)),
          (SELECT string_agg(format('%I %s', c.name, c.type), ', ') FROM ai_audio.step_columns(step, vector_type, dimensions) c),
          ai_audio.key_list(key || CASE step WHEN 'sentences' THEN '{channel_id,sentence_id}'::text[] WHEN 'speakers' THEN '{turn}' WHEN 'inspection' THEN NULL ELSE '{}' END),
          ai_audio.key_list(key), source, ai_audio.key_list(key));
        IF step = 'voiceprint' THEN
          EXECUTE format('CREATE INDEX ON %s USING hnsw (voiceprint %I.vector_cosine_ops)', target, vector_space);
        END IF;
        EXECUTE format('COMMENT ON TABLE %s IS %L', target, format('results of ai_audio''s step %s for the recordings of %s; see docs/follow.md', step, source));
      END IF;
    END IF;
    tables := tables || to_regclass(target);
  END LOOP;
  f := ROW(title, source, to_regclass(prefix || quote_ident(title || '_recordings')), to_regclass(prefix || quote_ident(title || '_jobs')), key, key_index, steps, tables,
    o, coalesce((o ->> 'max_attempts')::numeric::integer, 5), before.paused);
  EXECUTE format('DELETE FROM %s%I', prefix, title || '_follow');
  EXECUTE format('INSERT INTO %s%I SELECT ($1).*', prefix, title || '_follow') USING f;
  PERFORM ai_audio.put_triggers(title, to_regclass(prefix || quote_ident(title || '_follow')), prefix || quote_ident(title || '_queue'), source);
  IF before.name IS NOT NULL THEN
    IF before.options ->> 'recording' <> o ->> 'recording' THEN
      RAISE feature_not_supported USING MESSAGE = 'the recording of a followed table stays as it is', HINT = format('ai_audio_unfollow(%L) and follow it anew.', title);
    END IF;
    changed := ARRAY(SELECT s FROM unnest(steps) s WHERE s <> ALL (before.steps)
      OR coalesce(nullif(before.options -> s, 'true'), '{}') <> coalesce(nullif(o -> s, 'true'), '{}'));
    IF changed <> '{}' THEN
      EXECUTE format('UPDATE %s SET state = ''waiting'', job = DEFAULT, attempts = 0, kills = 0, since = now(), sqlstate = NULL, error = NULL,
        steps = CASE WHEN state = ''done'' THEN $1 ELSE NULL END', f.jobs) USING changed;
    END IF;
  ELSIF coalesce((o ->> 'existing')::boolean, true) THEN
    PERFORM ai_audio.queue_missing(f);
  END IF;
  RETURN title;
END
$$;
COMMENT ON FUNCTION ai_audio_follow(regclass, text, jsonb) IS
  'keeps results up to date for the recordings of a table that the caller owns; options and examples: docs/follow.md';

-- Takes a job and says so; NULL if there is none. To be committed before the work, so that who dies of it is known.
CREATE FUNCTION ai_audio.take(f ai_audio.followed) RETURNS bigint
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  taken bigint;
  row_id tid;
BEGIN
  -- Who works holds an advisory lock; a running job without one has lost its worker. The moment is for those
  -- between two transactions: CASE keeps their lock from being tried.
  EXECUTE format('UPDATE %1$s SET kills = kills + 1, since = now(), state = CASE WHEN kills >= 2 THEN ''failed'' ELSE ''later'' END,
      due = now() + (kills + 1) * interval ''5 s'', job = %3$s nextval(pg_get_serial_sequence(%4$L, ''job'')), sqlstate = CASE WHEN kills >= 2 THEN ''57P02'' END,
      error = CASE WHEN kills >= 2 THEN ''three sessions ended while they worked on it'' END
    WHERE job IN (SELECT job FROM %1$s WHERE state = ''running''
      AND CASE WHEN since < clock_timestamp() - interval ''5 s'' THEN pg_try_advisory_xact_lock(%2$s, hashint8(job)) ELSE false END FOR UPDATE SKIP LOCKED) AND state = ''running''', f.jobs, f.jobs::oid::bigint::bit(32)::integer,
    -- To the end of the queue: a crash takes all workers, and what is tried again first would be there at the next one, innocent or not.
    CASE WHEN f.options ->> 'order' = 'newest' THEN '-' ELSE '' END, f.jobs::text);
  EXECUTE format('UPDATE %1$s SET state = ''waiting'', since = now() WHERE state = ''later'' AND ctid = ANY (ARRAY(
    SELECT ctid FROM %1$s WHERE state = ''later'' AND due <= now() ORDER BY due LIMIT 100 FOR UPDATE SKIP LOCKED))', f.jobs);
  -- Two statements: the second sees the row as the first locked it, which may be younger than the first one's snapshot.
  EXECUTE format('SELECT ctid FROM %s WHERE state = ''waiting'' ORDER BY priority DESC, job %s LIMIT 1 FOR UPDATE SKIP LOCKED',
    f.jobs, CASE WHEN f.options ->> 'order' = 'newest' THEN 'DESC' ELSE '' END) INTO row_id;
  IF row_id IS NOT NULL THEN
    EXECUTE format('UPDATE %s SET state = ''running'', attempts = attempts + 1, since = clock_timestamp() WHERE ctid = $1 RETURNING job', f.jobs)
      INTO taken USING row_id;
  END IF;
  RETURN taken;
END
$$;
COMMENT ON FUNCTION ai_audio.take(ai_audio.followed) IS 'takes a job of a followed table';

-- Works on a job that was taken; gives the state that it is in then. Results are written only if the row is what it was.
CREATE FUNCTION ai_audio.work_on(follow regclass, f ai_audio.followed, job bigint) RETURNS text
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  heard jsonb;
  steps text[];
  source_key text[] := ai_audio.key_columns(f.source, f.key_index);
  step text;
  target regclass;
  columns text[];
  into_columns text[];
  types text;
  there boolean;
  heard_before float8 := (SELECT s.audio_seconds FROM @extschema@.ai_audio_stats() s);
  code text;
  message text;
BEGIN
  IF NOT pg_try_advisory_xact_lock(f.jobs::oid::bigint::bit(32)::integer, hashint8(work_on.job)) THEN
    RETURN 'running';
  END IF;
  BEGIN
    IF EXISTS (SELECT FROM unnest(f.tables || f.recordings) t WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t)) THEN
      RAISE undefined_table USING MESSAGE = 'the column of the recording, its view, or a table of results does not exist any more';
    END IF;
    EXECUTE format('SELECT coalesce(j.steps, $2), ai_audio.hear(r.recording, coalesce(j.steps, $2), $3) FROM %s j LEFT JOIN %s r ON %s WHERE j.job = $1 AND j.state = ''running''',
      f.jobs, f.recordings, ai_audio.key_join('j', f.key, 'r', f.key)) INTO steps, heard USING work_on.job, f.steps, f.options;
    -- In the order in which who deletes or changes the row locks them, and without waiting: whoever holds one of them changes the recording.
    EXECUTE format('SELECT true FROM %s s WHERE (%s) = (SELECT %s FROM %s j WHERE j.job = $1 AND j.state = ''running'') FOR %s SKIP LOCKED', f.source,
      ai_audio.key_list(source_key, 's.'), ai_audio.key_list(f.key, 'j.'), f.jobs, CASE WHEN f.source = ANY (f.tables) THEN 'NO KEY UPDATE' ELSE 'KEY SHARE' END)
      INTO there USING work_on.job;
    IF there THEN
      EXECUTE format('SELECT true FROM %s WHERE job = $1 AND state = ''running'' FOR UPDATE SKIP LOCKED', f.jobs) INTO there USING work_on.job;
    END IF;
    IF there IS NULL THEN
      -- Whose change is rolled back waits again, behind all others; otherwise there is no such job any more. Nor is there one for a row that went without
      -- a trigger's knowledge (a partition that was detached or dropped, a replica's session), or that row level security hides from its owner.
      EXECUTE format('SELECT EXISTS (SELECT FROM %s r WHERE %s) FROM %s j WHERE job = $1 AND state = ''running'' FOR UPDATE SKIP LOCKED', f.recordings,
        ai_audio.key_join('j', f.key, 'r', f.key), f.jobs) INTO there USING work_on.job;
      IF there THEN
        EXECUTE format('UPDATE %s SET state = ''waiting'', job = %s nextval(pg_get_serial_sequence(%L, ''job'')) WHERE job = $1 AND state = ''running''', f.jobs,
          CASE WHEN f.options ->> 'order' = 'newest' THEN '-' ELSE '' END, f.jobs::text) USING work_on.job;
      ELSIF NOT there THEN
        EXECUTE format('DELETE FROM %s WHERE job = $1 AND state = ''running''', f.jobs) USING work_on.job;
      END IF;
      RETURN 'waiting';
    END IF;
    FOR step, target IN SELECT s, t FROM unnest(f.steps, f.tables) x(s, t) WHERE s = ANY (steps) LOOP
      IF jsonb_typeof(f.options #> ARRAY[step, 'into']) = 'object' THEN
        SELECT array_agg(e.key), array_agg(e.value) INTO columns, into_columns FROM jsonb_each_text(f.options #> ARRAY[step, 'into']) e WHERE e.key <> 'table';
      ELSE
        SELECT array_agg(c.name), array_agg(c.name) INTO columns, into_columns FROM ai_audio.step_columns(step, '', 0) c;
      END IF;
      SELECT string_agg(format('%I %s', x.c, format_type(a.atttypid, a.atttypmod)), ', ') INTO types
      FROM unnest(columns, into_columns) x(c, i) JOIN pg_attribute a ON a.attrelid = target AND a.attname = x.i;
      IF target = f.source THEN
        EXECUTE format('UPDATE %s s SET %s FROM %s j LEFT JOIN jsonb_to_recordset($2) AS x(%s) ON true WHERE j.job = $1 AND j.state = ''running'' AND %s', target,
          (SELECT string_agg(format('%I = x.%I', i, c), ', ') FROM unnest(columns, into_columns) x(c, i)), f.jobs, types, ai_audio.key_join('s', source_key, 'j', f.key))
          USING work_on.job, coalesce(nullif(heard -> step, 'null'), '[]');
      ELSE
        EXECUTE format('DELETE FROM %s t USING %s j WHERE j.job = $1 AND j.state = ''running'' AND %s', target, f.jobs, ai_audio.key_join('t', f.key, 'j', f.key)) USING work_on.job;
        EXECUTE format('INSERT INTO %s (%s, %s) SELECT %s, %s FROM %s j, jsonb_to_recordset($2) AS x(%s) WHERE j.job = $1 AND j.state = ''running''', target,
          ai_audio.key_list(f.key), ai_audio.key_list(into_columns), ai_audio.key_list(f.key, 'j.'), ai_audio.key_list(columns, 'x.'), f.jobs, types)
          USING work_on.job, coalesce(nullif(heard -> step, 'null'), '[]');
      END IF;
    END LOOP;
    EXECUTE format('UPDATE %s SET state = ''done'', steps = NULL, since = clock_timestamp(), seconds = $2, sqlstate = NULL, error = NULL WHERE job = $1 AND state = ''running''', f.jobs)
      USING work_on.job, coalesce((heard #>> '{quality,0,duration_seconds}')::float8,
        ((SELECT s.audio_seconds FROM @extschema@.ai_audio_stats() s) - heard_before) / greatest(cardinality(steps), 1));
    RETURN 'done';
  EXCEPTION WHEN OTHERS THEN
    code := SQLSTATE;
    message := SQLERRM;
  END;
  IF code IN ('42P01', '42703', '55000') THEN
    -- What would fail for every recording: a dropped column, a missing model.
    EXECUTE format('UPDATE %s SET state = ''waiting'', attempts = attempts - 1 WHERE job = $1 AND state = ''running''', f.jobs) USING work_on.job;
    EXECUTE format('UPDATE %s SET paused = $1', follow) USING message;
    RAISE WARNING 'paused "%": %', f.name, message USING HINT = 'When that is mended: ai_audio_resume.';
    RETURN 'paused';
  END IF;
  -- What may pass: connections, resources, the operator, locks, serialization. The rest is about this recording.
  EXECUTE format('UPDATE %s SET state = CASE WHEN $4 AND attempts < $5 THEN ''later'' ELSE ''failed'' END, since = clock_timestamp(),
    due = clock_timestamp() + least(interval ''1 h'', interval ''5 s'' * power(3, attempts - 1)), sqlstate = $2, error = $3 WHERE job = $1 AND state = ''running''', f.jobs)
    USING work_on.job, code, message, left(code, 2) IN ('08', '40', '53', '57', '58', '55') AND code <> '58P01', f.max_attempts;
  RETURN 'failed';
END
$$;
COMMENT ON FUNCTION ai_audio.work_on(regclass, ai_audio.followed, bigint) IS 'works on a job of a followed table';

-- Takes a job of one of the current user's followed tables, in turn.
CREATE FUNCTION ai_audio.next_job(OUT follow regclass, OUT job bigint) RETURNS record
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  x record;
BEGIN
  FOR x IN SELECT w.follow, w.f FROM ai_audio.follows() w
    WHERE w.owner = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user) AND (w.f).paused IS NULL ORDER BY random()
  LOOP
    job := ai_audio.take(x.f);
    IF job IS NOT NULL THEN
      follow := x.follow;
      RETURN;
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION ai_audio.next_job() IS 'takes a job of a followed table of the current user';

-- For whom background workers are started: roles that may log in, and no superusers.
CREATE FUNCTION ai_audio.owners_with_work() RETURNS SETOF oid
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  x record;
  work boolean;
BEGIN
  FOR x IN SELECT w.owner, (w.f).jobs FROM ai_audio.follows() w JOIN pg_roles r ON r.oid = w.owner
    WHERE r.rolcanlogin AND NOT r.rolsuper AND (w.f).paused IS NULL ORDER BY random()
  LOOP
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM %1$s WHERE state = ''waiting'') OR EXISTS (SELECT 1 FROM %1$s WHERE state = ''later'' AND due <= now())
      OR EXISTS (SELECT 1 FROM %1$s WHERE state = ''running'' AND since < now() - interval ''5 s'')', x.jobs) INTO work;
    IF work THEN
      RETURN NEXT x.owner;
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION ai_audio.owners_with_work() IS 'owners of followed tables with work for background workers';

-- A procedure that commits cannot pin its search_path: what it calls is qualified, and pins its own.
CREATE PROCEDURE ai_audio_work(max_jobs bigint DEFAULT NULL, seconds float8 DEFAULT NULL)
  LANGUAGE plpgsql
AS $$
DECLARE
  taken record;
  declared ai_audio.followed;
  result text;
  counted bigint := 0;
  failures bigint := 0;
  begun timestamptz := pg_catalog.clock_timestamp();
  told timestamptz := begun;
  over timestamptz := pg_catalog.timestamptz_pl_interval(begun, pg_catalog.make_interval(secs => seconds));
BEGIN
  LOOP
    EXIT WHEN max_jobs OPERATOR(pg_catalog.<=) counted OR over OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp();
    SELECT n.follow, n.job INTO taken FROM ai_audio.next_job() n;
    COMMIT;
    EXIT WHEN taken.job IS NULL;
    EXECUTE pg_catalog.format('SELECT * FROM %s', taken.follow) INTO declared;
    PERFORM pg_catalog.set_config('application_name', pg_catalog.format('ai_audio_work: %s, job %s', declared.name, taken.job), true);
    result := ai_audio.work_on(taken.follow, declared, taken.job);
    COMMIT;
    counted := counted OPERATOR(pg_catalog.+) 1::bigint;
    IF result OPERATOR(pg_catalog.=) 'failed' THEN
      failures := failures OPERATOR(pg_catalog.+) 1::bigint;
    END IF;
    IF pg_catalog.current_setting('ai_audio.progress', true) OPERATOR(pg_catalog.=) 'on'
      AND pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) pg_catalog.timestamptz_pl_interval(told, '5 s') THEN
      told := pg_catalog.clock_timestamp();
      RAISE INFO 'ai_audio_work: % recordings, % of them failed; now at "%"', counted, failures, declared.name;
    END IF;
  END LOOP;
END
$$;
COMMENT ON PROCEDURE ai_audio_work(bigint, float8) IS
  'works on the waiting recordings of the tables that the caller follows, a transaction each, until none is left, or up to a number of them or of seconds; docs/follow.md';

CREATE FUNCTION ai_audio_pause(name text) RETURNS void
  LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE COST 1000 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  EXECUTE format('UPDATE %s SET paused = ''by ai_audio_pause''', (ai_audio.own_follow(name)).follow);
END
$$;
COMMENT ON FUNCTION ai_audio_pause(text) IS 'lets a followed table wait: jobs are queued, none is taken; docs/follow.md';

CREATE FUNCTION ai_audio_resume(name text) RETURNS bigint
  LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE COST 1000 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  x record;
BEGIN
  SELECT * INTO x FROM ai_audio.own_follow(name);
  IF NOT EXISTS (SELECT FROM pg_class WHERE oid = (x.f).recordings) THEN
    RAISE object_not_in_prerequisite_state USING MESSAGE = format('the column of "%s" with the recording does not exist any more', name),
      HINT = 'ai_audio_unfollow keeps the results; then ai_audio_follow the table anew.';
  END IF;
  EXECUTE format('UPDATE %s SET paused = NULL', x.follow);
  PERFORM ai_audio.put_triggers((x.f).name, x.follow, (SELECT t.tgfoid::regproc::text FROM pg_trigger t WHERE t.tgrelid = (x.f).source
    AND t.tgname = 'ai_audio_' || (x.f).name || '_insert'), (x.f).source);
  RETURN ai_audio.queue_missing(x.f);
END
$$;
COMMENT ON FUNCTION ai_audio_resume(text) IS 'goes on with a followed table, new partitions included; gives the number of rows that had no job yet; docs/follow.md';

CREATE FUNCTION ai_audio_retry(name text, condition text DEFAULT NULL) RETURNS bigint
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 1000 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  again bigint;
BEGIN
  IF name IS NULL THEN
    RETURN NULL;
  END IF;
  EXECUTE format('UPDATE %s SET state = ''waiting'', attempts = 0, kills = 0, since = now(), sqlstate = NULL, error = NULL WHERE state IN (''failed'', ''later'') AND (%s)',
    ((ai_audio.own_follow(name)).f).jobs, coalesce(condition, 'true'));
  GET DIAGNOSTICS again = ROW_COUNT;
  RETURN again;
END
$$;
COMMENT ON FUNCTION ai_audio_retry(text, text) IS
  'queues the failed recordings of a followed table again, or those for which a condition on its jobs holds; docs/follow.md';

CREATE FUNCTION ai_audio_unfollow(name text, keep_results boolean DEFAULT true) RETURNS void
  LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE COST 1000 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  x record;
  step text;
  target regclass;
  queue regprocedure;
BEGIN
  SELECT * INTO x FROM ai_audio.own_follow(name);
  FOR queue IN SELECT DISTINCT t.tgfoid FROM pg_trigger t WHERE t.tgrelid = (x.f).source AND t.tgname = 'ai_audio_' || (x.f).name || '_insert' LOOP
    EXECUTE format('DROP FUNCTION %s CASCADE', queue);
  END LOOP;
  IF NOT keep_results THEN
    FOR step, target IN SELECT s, t FROM unnest((x.f).steps, (x.f).tables) k(s, t) LOOP
      IF (x.f).options #> ARRAY[step, 'into'] IS NULL AND ai_audio.is_results(target) THEN
        EXECUTE format('DROP TABLE %s', target);
      END IF;
    END LOOP;
  END IF;
  IF EXISTS (SELECT FROM pg_class WHERE oid = (x.f).recordings) THEN
    EXECUTE format('DROP VIEW %s', (x.f).recordings);
  END IF;
  EXECUTE format('DROP TABLE %s, %s', (x.f).jobs, x.follow);
END
$$;
COMMENT ON FUNCTION ai_audio_unfollow(text, boolean) IS 'stops following a table; its results stay, or go (false); docs/follow.md';

CREATE FUNCTION ai_audio.progress(OUT name text, OUT source regclass, OUT owner name, OUT waiting bigint, OUT running bigint, OUT done bigint, OUT failed bigint,
    OUT audio_per_second float8, OUT estimated_end timestamptz, OUT paused text) RETURNS SETOF record
  LANGUAGE plpgsql STABLE PARALLEL RESTRICTED COST 100000 ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  x record;
  lately bigint;
  seconds float8;
  spent float8;
BEGIN
  FOR x IN SELECT * FROM ai_audio.follows() LOOP
    CONTINUE WHEN NOT has_table_privilege((x.f).jobs, 'SELECT');
    EXECUTE format('SELECT count(*) FILTER (WHERE state IN (''waiting'', ''later'')), count(*) FILTER (WHERE state = ''running''), count(*) FILTER (WHERE state = ''done''),
        count(*) FILTER (WHERE state = ''failed''), count(*) FILTER (WHERE l), sum(seconds) FILTER (WHERE l), extract(epoch FROM max(since) FILTER (WHERE l) - min(since) FILTER (WHERE l))
      FROM (SELECT state, seconds, since, state = ''done'' AND since > now() - interval ''5 min'' AS l FROM %s) j', (x.f).jobs)
      INTO waiting, running, done, failed, lately, seconds, spent;
    name := (x.f).name;
    source := (x.f).source;
    owner := pg_get_userbyid(x.owner);
    paused := (x.f).paused;
    audio_per_second := CASE WHEN spent > 0 THEN seconds / spent END;
    estimated_end := CASE WHEN spent > 0 AND waiting > 0 AND lately > 1 AND paused IS NULL THEN clock_timestamp() + waiting * spent / (lately - 1) * interval '1 s' END;
    RETURN NEXT;
  END LOOP;
END
$$;
COMMENT ON FUNCTION ai_audio.progress() IS 'the rows of the view ai_audio_progress';

CREATE VIEW ai_audio_progress AS SELECT * FROM ai_audio.progress();
COMMENT ON VIEW ai_audio_progress IS 'the followed tables, how far they are, and how fast it goes; docs/follow.md';
GRANT SELECT ON ai_audio_progress TO PUBLIC;

CREATE FUNCTION ai_audio.jobs(OUT name text, OUT key text[], OUT state text, OUT attempts integer, OUT since timestamptz, OUT due timestamptz, OUT sqlstate text,
    OUT error text) RETURNS SETOF record
  LANGUAGE plpgsql STABLE PARALLEL RESTRICTED COST 100000 ROWS 1000 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  x record;
BEGIN
  FOR x IN SELECT * FROM ai_audio.follows() LOOP
    CONTINUE WHEN NOT has_table_privilege((x.f).jobs, 'SELECT');
    -- format() shows a value of any type by its output function, not by casts of its owner's making.
    RETURN QUERY EXECUTE format('SELECT %L::text, ARRAY[%s], CASE state WHEN ''later'' THEN ''waiting'' ELSE state END, attempts, since, CASE state WHEN ''later'' THEN due END, sqlstate, error FROM %s',
      (x.f).name, (SELECT string_agg(format('format(''%%s'', %I)', k), ', ') FROM unnest((x.f).key) k), (x.f).jobs);
  END LOOP;
END
$$;
COMMENT ON FUNCTION ai_audio.jobs() IS 'the rows of the view ai_audio_jobs';

CREATE VIEW ai_audio_jobs AS SELECT * FROM ai_audio.jobs();
COMMENT ON VIEW ai_audio_jobs IS 'the recordings of followed tables: waiting, running, done or failed, and why; docs/follow.md';
GRANT SELECT ON ai_audio_jobs TO PUBLIC;

-- The row form of ai_audio_embed, for loops of one's own: what is wrong with a recording is in the row.
SELECT ai_audio.declare('ai_audio_embed_row', 'source',
  'OUT voiceprint vector, OUT speech_seconds float8, OUT snr_db float8, OUT bandwidth_hz integer,
   OUT fit_to_enrol boolean, OUT sqlstate text, OUT error text',
  'LANGUAGE c STABLE PARALLEL SAFE COST 1000000');
