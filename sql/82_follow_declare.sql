-- ai_audio_follow: what is declared is judged here, and everything that it takes is made.

-- Judges columns for results: whether they are there, may be written, and take values such as the step gives.
CREATE FUNCTION ai_audio.check_columns(step text, target regclass, columns text[], target_columns text[], vector text, dimensions integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  gives constant text[] := ARRAY(SELECT c.name FROM ai_audio.step_columns(check_columns.step, vector, dimensions) c);
  x record;
  zeros text;
BEGIN
  FOR x IN
    SELECT k.name, k.target, c.type, a.attname, a.attgenerated <> '' OR a.attidentity = 'a' AS computed, format_type(a.atttypid, a.atttypmod) AS target_type,
      (SELECT y.typname IN ('vector', 'halfvec') FROM pg_type t JOIN pg_type y ON y.oid = coalesce(nullif(t.typbasetype, 0), t.oid) WHERE t.oid = a.atttypid) AS vectors
    FROM unnest(columns, target_columns) k(name, target) LEFT JOIN ai_audio.step_columns(check_columns.step, vector, dimensions) c ON c.name = k.name
    LEFT JOIN pg_attribute a ON a.attrelid = check_columns.target AND a.attname = k.target AND a.attnum > 0 AND NOT a.attisdropped
  LOOP
    IF x.type IS NULL THEN
      RAISE undefined_column USING MESSAGE = format('step "%s" gives no "%s"', step, x.name), HINT = format('It gives %s.', array_to_string(gives, ', '));
    ELSIF x.attname IS NULL THEN
      RAISE undefined_column USING MESSAGE = format('step "%s": %s has no column "%s" for its %s', step, target, x.target, x.name);
    ELSIF x.computed THEN
      RAISE wrong_object_type USING MESSAGE = format('step "%s": column "%s" of %s is generated and cannot be written to', step, x.target, target);
    END IF;
    zeros := CASE WHEN starts_with(x.type, vector) THEN '[' || array_to_string(array_fill(0, ARRAY[dimensions]), ',') || ']' END;
    BEGIN
      IF zeros IS NOT NULL AND NOT x.vectors THEN
        RAISE datatype_mismatch USING MESSAGE = 'it is no vector';
      END IF;
      EXECUTE format('SELECT x.c FROM jsonb_to_recordset($1) AS x(c %s)', x.target_type) USING jsonb_build_array(jsonb_build_object('c', CASE
        WHEN zeros IS NOT NULL THEN to_jsonb(zeros) WHEN x.type IN ('real', 'double precision') THEN '0.5' WHEN x.type = 'integer' THEN '16000'
        WHEN x.type = 'boolean' THEN 'true' WHEN x.type = 'jsonb' THEN '{}' ELSE '"some words"' END));
    EXCEPTION WHEN OTHERS THEN
      RAISE datatype_mismatch USING MESSAGE = format('step "%s": column "%s" of %s, %s, cannot take its %s, %s', step, x.target, target, x.target_type, x.name, x.type), DETAIL = SQLERRM;
    END;
  END LOOP;
END
$$;
COMMENT ON FUNCTION ai_audio.check_columns(text, regclass, text[], text[], text, integer) IS 'judges columns for results of a step of followed tables';

-- Judges option "into" of a step; gives the table.
CREATE FUNCTION ai_audio.check_into(step text, into_option jsonb, source regclass, key text[], source_key text[], space text, vector text, dimensions integer) RETURNS regclass
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  o constant jsonb := into_option;
  target regclass;
  columns text[];
  target_columns text[];
  wrong text;
BEGIN
  IF step NOT IN ('voiceprint', 'quality') THEN
    RAISE invalid_parameter_value USING MESSAGE = format('step "%s" gives several rows per recording: option "into" is for voiceprint and quality', step);
  END IF;
  IF NOT (CASE WHEN jsonb_typeof(o) = 'object' THEN o ? 'table' AND (SELECT count(*) > 1 AND bool_and(jsonb_typeof(e.value) = 'string') FROM jsonb_each(o) e) ELSE false END) THEN
    RAISE invalid_parameter_value USING MESSAGE = format('step "%s": option "into" is an object with "table" and, by the names of results, columns', step),
      HINT = format('Such as {"table": "calls", "%1$s": "my_%1$s"}.', CASE step WHEN 'quality' THEN 'snr_db' ELSE step END);
  END IF;
  target := coalesce(to_regclass(format('%I.%I', space, o ->> 'table')), to_regclass(o ->> 'table'));
  IF target IS NULL THEN
    RAISE undefined_table USING MESSAGE = format('step "%s": there is no table "%s" to put results into', step, o ->> 'table');
  END IF;
  IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = target AND c.relkind IN ('r', 'p', 'v', 'f') AND c.relpersistence <> 't') THEN
    RAISE wrong_object_type USING MESSAGE = format('step "%s": results cannot be put into %s', step, target);
  END IF;
  SELECT array_agg(e.key), array_agg(e.value) INTO columns, target_columns FROM jsonb_each_text(o) e WHERE e.key <> 'table';
  PERFORM ai_audio.check_columns(step, target, columns, target_columns, vector, dimensions);
  SELECT c INTO wrong FROM unnest(target_columns) c WHERE c = ANY (CASE WHEN target = source THEN source_key ELSE key END) OR (SELECT count(*) FROM unnest(target_columns) d WHERE d = c) > 1 LIMIT 1;
  IF wrong IS NOT NULL THEN
    RAISE invalid_parameter_value USING MESSAGE = format('step "%s": column "%s" of %s is of the key, or meant for two results', step, wrong, target);
  END IF;
  IF target = source THEN
    SELECT a.attname INTO wrong FROM pg_attribute a WHERE a.attrelid = target AND a.attname = ANY (target_columns) AND a.attnotnull;
    IF wrong IS NOT NULL THEN
      RAISE invalid_parameter_value USING MESSAGE = format('step "%s": column "%s" of %s must be nullable: a row has no result before it is heard', step, wrong, target);
    END IF;
    RETURN target;
  END IF;
  SELECT k INTO wrong FROM unnest(key) k WHERE k NOT IN (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped);
  IF wrong IS NOT NULL THEN
    RAISE undefined_column USING MESSAGE = format('step "%s": %s has no column "%s" for the key of %s', step, target, wrong, source);
  END IF;
  SELECT format('%s on column "%s"', p, c) INTO wrong FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) p, unnest(key || target_columns) c
  WHERE NOT has_column_privilege(target, c, p) AND NOT (p = 'UPDATE' AND c = ANY (key)) LIMIT 1;
  IF wrong IS NOT NULL THEN
    RAISE insufficient_privilege USING MESSAGE = format('permission denied for table %s: step "%s" needs %s', target, step, wrong);
  ELSIF EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = target AND a.attname = ANY (target_columns) AND a.attnotnull) AND NOT has_table_privilege(target, 'DELETE') THEN
    RAISE insufficient_privilege USING MESSAGE = format('permission denied for table %s: step "%s" needs DELETE, since a row there cannot stand without its result', target, step);
  END IF;
  BEGIN
    EXECUTE format('SELECT 1 FROM %s t, %s s WHERE %s LIMIT 0', target, source, ai_audio.key_join('t', key, 's', source_key));
  EXCEPTION WHEN undefined_function THEN
    RAISE datatype_mismatch USING MESSAGE = format('step "%s": the key of %s cannot be compared with that of %s', step, target, source), DETAIL = SQLERRM;
  END;
  RETURN target;
END
$$;
COMMENT ON FUNCTION ai_audio.check_into(text, jsonb, regclass, text[], text[], text, text, integer) IS 'judges option "into" of a step of followed tables';

-- A table for the results of a step; one that is there is taken up again if it was made for the same.
-- A partitioned table's partitions come and go with results of their rows around: a foreign key would forbid it, or go for all of
-- them at once by CASCADE. There it is the triggers that take results away.
CREATE FUNCTION ai_audio.make_results(step text, target text, source regclass, key text[], source_key text[], model text, vector text, dimensions integer) RETURNS regclass
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  made constant text := format('results of ai_audio''s step %s%s for the recordings of %s; see docs/follow.md', step, CASE step WHEN 'voiceprint' THEN format(' (%s)', model) END, source);
  key_types constant text[] := ARRAY(SELECT format_type(a.atttypid, a.atttypmod) FROM unnest(source_key) WITH ORDINALITY k(name, n)
    JOIN pg_attribute a ON a.attrelid = make_results.source AND a.attname = k.name ORDER BY k.n);
  there regclass := to_regclass(target);
  columns constant text[] := ARRAY(SELECT c.name FROM ai_audio.step_columns(make_results.step, vector, dimensions) c);
  partitioned constant boolean := (SELECT c.relkind = 'p' FROM pg_class c WHERE c.oid = make_results.source);
  x record;
BEGIN
  IF there IS NULL THEN
    EXECUTE format('CREATE TABLE %s (%s, %s, PRIMARY KEY (%s)%s)', target,
      (SELECT string_agg(format('%I %s', k.name, k.type), ', ') FROM unnest(key, key_types) k(name, type)),
      (SELECT string_agg(format('%I %s', c.name, c.type), ', ') FROM ai_audio.step_columns(make_results.step, vector, dimensions) c),
      ai_audio.key_list(key || CASE step WHEN 'sentences' THEN '{channel_id,sentence_id}'::text[] WHEN 'speakers' THEN '{turn}' WHEN 'inspection' THEN '{finding}' ELSE '{}' END),
      CASE WHEN NOT partitioned THEN format(', FOREIGN KEY (%s) REFERENCES %s (%s) ON DELETE CASCADE ON UPDATE CASCADE', ai_audio.key_list(key), source, ai_audio.key_list(source_key)) END);
    IF step = 'voiceprint' THEN
      EXECUTE format('CREATE INDEX ON %s USING hnsw (voiceprint %s.vector_cosine_ops)', target, left(vector, -length('.vector')));
    END IF;
  ELSE
    IF NOT ai_audio.is_results(there) THEN
      RAISE duplicate_table USING MESSAGE = format('step "%s" keeps its results in %s, and there is such a table already', step, target),
        HINT = 'Give another name to follow by, rename that table, or name it in option "into" (voiceprint and quality).';
    END IF;
    IF step = 'voiceprint' AND strpos(obj_description(there, 'pg_class'), format(' (%s) ', model)) = 0 THEN
      RAISE feature_not_supported USING MESSAGE = 'voiceprints of two models must not meet in one column', HINT = format('Drop %s, or give another name to follow by.', target);
    END IF;
    SELECT k.name, k.type, format_type(a.atttypid, a.atttypmod) AS found INTO x FROM unnest(key, key_types) k(name, type)
    LEFT JOIN pg_attribute a ON a.attrelid = there AND a.attname = k.name AND NOT a.attisdropped WHERE format_type(a.atttypid, a.atttypmod) IS DISTINCT FROM k.type LIMIT 1;
    IF FOUND THEN
      RAISE datatype_mismatch USING MESSAGE = format('%s, which was made before, has %s, and the key''s "%s" is %s', target,
        coalesce(format('column "%s" of type %s', x.name, x.found), format('no column "%s"', x.name)), x.name, x.type),
        HINT = 'Alter that column, or rename or drop the table.';
    END IF;
    PERFORM ai_audio.check_columns(step, there, columns, columns, vector, dimensions);
    SELECT c.confrelid::regclass AS other INTO x FROM pg_constraint c WHERE c.conrelid = there AND c.contype = 'f' AND c.confrelid <> source LIMIT 1;
    IF FOUND THEN
      RAISE feature_not_supported USING MESSAGE = format('%s holds results of %s', target, x.other), HINT = 'Rename or drop that table, or give another name to follow by.';
    END IF;
    IF NOT row_security_active(source) THEN
      EXECUTE format('DELETE FROM %s t WHERE NOT EXISTS (SELECT FROM %s%s s WHERE %s)', there, CASE WHEN NOT partitioned THEN 'ONLY ' END, source,
        ai_audio.key_join('t', key, 's', source_key));
    END IF;
    IF NOT partitioned AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = there AND c.contype = 'f' AND c.confrelid = source) THEN
      EXECUTE format('ALTER TABLE %s ADD FOREIGN KEY (%s) REFERENCES %s (%s) ON DELETE CASCADE ON UPDATE CASCADE', there, ai_audio.key_list(key), source,
        ai_audio.key_list(source_key));
    END IF;
  END IF;
  EXECUTE format('COMMENT ON TABLE %s IS %L', target, made);
  RETURN to_regclass(target);
END
$$;
COMMENT ON FUNCTION ai_audio.make_results(text, text, regclass, text[], text[], text, text, integer) IS 'makes a table for results of a step of followed tables';

-- The views on a followed table: its recordings, and their priorities if there are any. For a second declaration the first one's
-- are compared with what would be made now, so renames do no harm.
CREATE FUNCTION ai_audio.make_views(f ai_audio.followed, before ai_audio.followed, prefix text, table_name text, source_key text[]) RETURNS ai_audio.followed
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  -- The name by which expressions may call the table, which may have been renamed since.
  alias constant text := coalesce(substring(pg_get_viewdef(before.recordings) FROM '("[^"]+"|[^."[:space:]]+);$'), quote_ident(table_name));
  origin constant text := format('FROM %s%s AS %s', CASE (SELECT c.relkind FROM pg_class c WHERE c.oid = f.source) WHEN 'r' THEN 'ONLY ' END, f.source, alias);
  keys constant text := (SELECT string_agg(format('%s.%I AS %I', alias, s, k), ', ') FROM unnest(source_key, f.key) x(s, k));
  view text := prefix || quote_ident(f.name || CASE WHEN before.name IS NULL THEN '_recordings' ELSE '_recordings_' END);
  expression text := f.options ->> 'recording';
BEGIN
  IF EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = f.source AND a.attname = expression AND a.attnum > 0 AND NOT a.attisdropped) THEN
    expression := quote_ident(expression);
  END IF;
  EXECUTE format('CREATE VIEW %s AS SELECT %s, (%s) AS recording %s', view, keys, expression, origin);
  IF NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass(view) AND a.attname = 'recording' AND a.atttypid = 'bytea'::regtype) THEN
    EXECUTE format('DROP VIEW %s', view);
    EXECUTE format('CREATE VIEW %s AS SELECT %s, (%s)::text AS recording %s', view, keys, expression, origin);
  END IF;
  IF before.name IS NULL THEN
    f.recordings := to_regclass(view);
  ELSE
    IF pg_get_viewdef(before.recordings) IS DISTINCT FROM pg_get_viewdef(to_regclass(view)) THEN
      RAISE feature_not_supported USING MESSAGE = 'the recording of a followed table stays as it is', HINT = format('ai_audio_unfollow(%L) and follow it anew.', f.name);
    END IF;
    EXECUTE format('DROP VIEW %s', view);
    IF before.options ->> 'priority' IS NOT DISTINCT FROM f.options ->> 'priority' THEN
      RETURN f;
    END IF;
  END IF;
  IF EXISTS (SELECT FROM pg_class WHERE oid = before.priorities) THEN
    EXECUTE format('DROP VIEW %s', before.priorities);
  END IF;
  f.priorities := NULL;
  IF f.options ? 'priority' THEN
    view := prefix || quote_ident(f.name || '_priorities');
    EXECUTE format('CREATE VIEW %s AS SELECT %s, (%s)::float8 AS priority %s', view, keys, f.options ->> 'priority', origin);
    f.priorities := to_regclass(view);
  END IF;
  IF before.name IS NOT NULL THEN
    EXECUTE format('UPDATE %s j SET priority = coalesce(x.priority, 0) FROM %s WHERE %s AND j.priority <> coalesce(x.priority, 0)', f.jobs,
      coalesce(f.priorities::text || ' x', '(SELECT 0 AS priority) x'), coalesce(CASE WHEN f.priorities IS NOT NULL THEN ai_audio.key_join('j', f.key, 'x', f.key) END, 'true'));
  END IF;
  RETURN f;
END
$$;
COMMENT ON FUNCTION ai_audio.make_views(ai_audio.followed, ai_audio.followed, text, text, text[]) IS 'makes the views on a followed table';

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
  table_name name;
  owner oid;
  kind "char";
  title text := ai_audio_follow.name;
  prefix text;
  steps text[];
  step text;
  wrong text;
  key text[];
  source_key text[];
  key_index text;
  vector_type text;
  dimensions integer;
  model text;
  tables regclass[] := '{}';
  target regclass;
  before ai_audio.followed;
  declared regclass;
  before_model text;
  changed text[];
  f ai_audio.followed;
BEGIN
  IF source IS NULL THEN
    RETURN NULL;
  END IF;
  SELECT n.nspname, c.relname, c.relowner, c.relkind, coalesce(title, c.relname), CASE WHEN c.relkind NOT IN ('r', 'p') THEN 'it is not a table'
      WHEN c.relispartition THEN format('it is a partition; follow %s', pg_partition_root(c.oid))
      WHEN c.relpersistence = 't' THEN 'it is a temporary table' WHEN c.relpersistence = 'u' THEN 'it is an unlogged table, which a crash empties' END
    INTO space, table_name, owner, kind, title, wrong
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ai_audio_follow.source;
  IF kind IS NULL OR wrong IS NOT NULL THEN
    RAISE wrong_object_type USING MESSAGE = format('"%s" cannot be followed: %s', source, coalesce(wrong, 'there is no such table'));
  END IF;
  IF owner <> me THEN
    RAISE insufficient_privilege USING MESSAGE = format('must be owner of table %s', source),
      HINT = format('SET ROLE %I first: recordings are read, and results are kept, with the owner''s rights.', pg_get_userbyid(owner));
  END IF;
  -- What is made is called by this name and up to 11 letters more, and triggers by 18 more; a name of Postgres has 63 bytes.
  IF title !~ '^[[:alnum:]_]+$' OR octet_length(title) > 40 THEN
    RAISE invalid_parameter_value USING MESSAGE = format('a name to follow by has letters, digits and underscores, of 1 to 40 bytes; "%s" does not fit: give one', title);
  END IF;
  IF jsonb_typeof(o) <> 'object' THEN
    RAISE invalid_parameter_value USING MESSAGE = 'options are a JSON object';
  END IF;
  SELECT coalesce(jsonb_object_agg(e.key, e.value) FILTER (WHERE e.value <> 'null'), '{}'), min(e.key) FILTER (WHERE e.key <> ALL (known)) INTO o, wrong FROM jsonb_each(o) e;
  IF wrong IS NOT NULL THEN
    RAISE invalid_parameter_value USING MESSAGE = format('unknown option "%s"', wrong), HINT = format('Known options: %s.', array_to_string(known, ', '));
  END IF;
  -- What is to be done: {"steps": ["voiceprint"]} and {"voiceprint": {...}} say the same.
  SELECT e.key INTO wrong FROM jsonb_each(o) e WHERE e.key = ANY (all_steps) AND jsonb_typeof(e.value) NOT IN ('object', 'boolean');
  IF wrong IS NOT NULL THEN
    RAISE invalid_parameter_value USING MESSAGE = format('option "%s" is true, false, or an object of the step''s options', wrong);
  END IF;
  SELECT array_agg(s ORDER BY n) INTO steps FROM unnest(all_steps) WITH ORDINALITY a(s, n)
  WHERE (o ? s AND o -> s <> 'false') OR (jsonb_typeof(o -> 'steps') = 'array' AND o -> 'steps' ? s);
  SELECT e INTO wrong FROM jsonb_array_elements_text(CASE jsonb_typeof(o -> 'steps') WHEN 'array' THEN o -> 'steps' ELSE '[]' END) e WHERE e IS NULL OR e <> ALL (all_steps);
  IF FOUND OR (o ? 'steps' AND jsonb_typeof(o -> 'steps') <> 'array') THEN
    RAISE invalid_parameter_value USING MESSAGE = format('option "steps" is a list of %s', array_to_string(all_steps, ', '));
  END IF;
  steps := coalesce(steps, '{voiceprint}');
  IF 'inspection' = ANY (steps) AND o #>> '{inspection,policy}' IS NULL THEN
    RAISE invalid_parameter_value USING MESSAGE = 'step "inspection" needs a policy: option "policy" in it is text or an array of rules',
      HINT = 'See ai_audio_inspect in docs/inspect.md.';
  END IF;
  IF coalesce(o -> 'order', '"oldest"') NOT IN ('"oldest"', '"newest"') THEN
    RAISE invalid_parameter_value USING MESSAGE = 'option "order" is "oldest" or "newest"';
  END IF;
  IF o ? 'max_attempts' AND NOT (CASE jsonb_typeof(o -> 'max_attempts') WHEN 'number' THEN (o ->> 'max_attempts')::numeric BETWEEN 1 AND 100 ELSE false END) THEN
    RAISE invalid_parameter_value USING MESSAGE = 'option "max_attempts" is a number from 1 to 100';
  END IF;
  IF o ? 'existing' AND jsonb_typeof(o -> 'existing') <> 'boolean' THEN
    RAISE invalid_parameter_value USING MESSAGE = 'option "existing" is true or false';
  END IF;
  SELECT e.key INTO wrong FROM jsonb_each(o) e WHERE e.key IN ('recording', 'priority') AND jsonb_typeof(e.value) <> 'string';
  IF wrong IS NOT NULL THEN
    RAISE invalid_parameter_value USING MESSAGE = format('option "%s" is a column or an expression, as a string', wrong);
  END IF;
  IF NOT o ? 'recording' THEN
    RAISE invalid_parameter_value USING MESSAGE = 'option "recording" is missing: the column, or an expression, that names or holds the recording',
      HINT = format('Columns of %s: %s.', source, (SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = ai_audio_follow.source AND a.attnum > 0 AND NOT a.attisdropped));
  END IF;
  -- The key: the primary key, or a unique index on the columns named.
  SELECT c.relname, ai_audio.key_columns(ai_audio_follow.source, c.relname) INTO key_index, source_key
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
  WHERE i.indrelid = ai_audio_follow.source AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
    AND CASE WHEN o ? 'key' THEN ai_audio.key_columns(ai_audio_follow.source, c.relname) =
      CASE jsonb_typeof(o -> 'key') WHEN 'array' THEN ARRAY(SELECT jsonb_array_elements_text(o -> 'key')) ELSE ARRAY[o ->> 'key'] END ELSE i.indisprimary END
  ORDER BY c.relname LIMIT 1;
  IF source_key IS NULL THEN
    RAISE invalid_parameter_value USING MESSAGE = CASE WHEN o ? 'key' THEN format('option "key": %s has no unique index on these columns', source)
      ELSE format('%s has no primary key', source) END, HINT = 'Results need a row to belong to: add a primary key, or name the columns of a unique index in option "key".';
  END IF;
  SELECT a.attname INTO wrong FROM pg_attribute a WHERE a.attrelid = ai_audio_follow.source AND a.attname = ANY (source_key) AND NOT a.attnotnull;
  IF wrong IS NOT NULL THEN
    RAISE invalid_parameter_value USING MESSAGE = format('option "key": column "%s" of %s may be NULL, and such a row has no key', wrong, source),
      HINT = format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL.', source, wrong);
  END IF;
  IF NOT o ? 'key' THEN
    key_index := NULL;
  END IF;
  SELECT format('%I.%I', n.nspname, t.typname) INTO vector_type FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype
  JOIN pg_namespace n ON n.oid = t.typnamespace WHERE p.oid = '@extschema@.ai_audio_embed(text)'::regprocedure;
  SELECT m.name, m.dimensions INTO model, dimensions FROM @extschema@.ai_audio_models m WHERE m.task = 'speaker-embedding'
    AND (m.name = coalesce(o #>> '{voiceprint,model}', 'audio_embedding') OR coalesce(o #>> '{voiceprint,model}', 'audio_embedding') = ANY (m.aliases));
  -- How long voiceprints are is a matter of the declaration, whatever the worker's setting.
  IF 'voiceprint' = ANY (steps) AND jsonb_typeof(o #> '{voiceprint,dimensions}') IS DISTINCT FROM 'number' THEN
    dimensions := greatest(dimensions, nullif(current_setting('ai_audio.dimensions', true), '')::integer);
    o := o || jsonb_build_object('voiceprint', CASE jsonb_typeof(o -> 'voiceprint') WHEN 'object' THEN o -> 'voiceprint' ELSE '{}' END
      || jsonb_build_object('dimensions', dimensions));
  END IF;
  FOREACH step IN ARRAY steps LOOP
    IF o #> ARRAY[step, 'into'] = 'null' THEN
      o := o #- ARRAY[step, 'into'];
    END IF;
  END LOOP;
  -- Wrong options are better known now than from a million failed rows: no recording is read before they are.
  FOREACH step IN ARRAY steps LOOP
    BEGIN
      PERFORM ai_audio.hear('\x'::bytea, ARRAY[step], o);
    EXCEPTION WHEN OTHERS THEN
      IF SQLSTATE IN ('22023', '42704', '42883', '22P02') THEN
        RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = format('step "%s": %s', step, SQLERRM);
      END IF;
    END;
  END LOOP;
  IF 'voiceprint' = ANY (steps) THEN
    dimensions := (o #>> '{voiceprint,dimensions}')::numeric;
  END IF;
  prefix := format('%I', space) || '.';
  declared := to_regclass(prefix || quote_ident(title || '_follow'));
  IF declared IS NOT NULL THEN
    SELECT (x.f).* INTO before FROM ai_audio.follows() x WHERE x.follow = declared AND x.owner = me;
    IF before.source IS DISTINCT FROM source THEN
      RAISE duplicate_table USING MESSAGE = format('"%s" is taken in schema %s', title || '_follow', space), HINT = 'Give another name.';
    END IF;
    SELECT m.name INTO before_model FROM @extschema@.ai_audio_models m WHERE m.task = 'speaker-embedding'
      AND (m.name = coalesce(before.options #>> '{voiceprint,model}', 'audio_embedding') OR coalesce(before.options #>> '{voiceprint,model}', 'audio_embedding') = ANY (m.aliases));
    IF '{voiceprint}' <@ before.steps AND '{voiceprint}' <@ steps AND coalesce(before_model, before.options #>> '{voiceprint,model}') <> model THEN
      RAISE feature_not_supported USING MESSAGE = 'voiceprints of two models must not meet in one column',
        HINT = format('Follow the table by a second name, such as %s, with the new model; when ai_audio_progress shows it done, search there and ai_audio_unfollow(%L, false).', title || '_2', title);
    END IF;
    IF ai_audio.key_columns(source, before.key_index) IS DISTINCT FROM source_key THEN
      RAISE feature_not_supported USING MESSAGE = 'the key of a followed table stays as it is', HINT = format('ai_audio_unfollow(%L) and follow it anew.', title);
    END IF;
    IF NOT o ? 'existing' AND before.options ? 'existing' THEN
      o := o || jsonb_build_object('existing', before.options -> 'existing');
    END IF;
  ELSIF EXISTS (SELECT FROM ai_audio.follows() x WHERE x.owner = me AND (x.f).name = title) THEN
    RAISE duplicate_object USING MESSAGE = format('you follow another table by the name "%s"', title), HINT = 'Give another name.';
  END IF;
  -- Where the table's key was renamed, what was made keeps its names.
  key := coalesce(before.key, source_key);
  FOREACH step IN ARRAY steps LOOP
    SELECT c.name INTO wrong FROM ai_audio.step_columns(step, vector_type, dimensions) c WHERE c.name = ANY (key);
    IF wrong IS NOT NULL THEN
      RAISE invalid_parameter_value USING MESSAGE = format('key column "%s" is also a column of results of step "%s"', wrong, step);
    END IF;
  END LOOP;
  IF key && '{job,state,attempts,kills,due,since,steps,seconds,sqlstate,error,written,priority,recording}' THEN
    RAISE invalid_parameter_value USING MESSAGE = 'key columns cannot be called like those of the jobs: job, state, attempts, kills, due, since, steps, seconds, sqlstate, error, written, priority, recording';
  END IF;
  f := before;
  f.name := title;
  f.source := source;
  f.key := key;
  f.key_index := key_index;
  f.steps := steps;
  f.options := o;
  f.max_attempts := coalesce((o ->> 'max_attempts')::numeric::integer, 5);
  f := ai_audio.make_views(f, before, prefix, table_name, source_key);
  IF before.name IS NULL THEN
    EXECUTE format('CREATE TABLE %s%I (%s, job bigint NOT NULL GENERATED BY DEFAULT AS IDENTITY, state text NOT NULL DEFAULT ''waiting''
      CHECK (state IN (''waiting'', ''running'', ''later'', ''done'', ''failed'')), priority float8 NOT NULL DEFAULT 0, attempts integer NOT NULL DEFAULT 0,
      kills integer NOT NULL DEFAULT 0, due timestamptz, since timestamptz NOT NULL DEFAULT now(), seconds float8, steps text[], sqlstate text, error text,
      written boolean NOT NULL DEFAULT false, PRIMARY KEY (%s))', prefix, title || '_jobs',
      (SELECT string_agg(format('%I %s NOT NULL', k.name, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY k.n) FROM unnest(key, source_key) WITH ORDINALITY k(name, source_name, n)
        JOIN pg_attribute a ON a.attrelid = ai_audio_follow.source AND a.attname = k.source_name), ai_audio.key_list(key));
    EXECUTE format('CREATE INDEX ON %s%I (job) WHERE state = ''running''', prefix, title || '_jobs');
    EXECUTE format('CREATE INDEX ON %s%I (due) WHERE state = ''later''', prefix, title || '_jobs');
    EXECUTE format('CREATE TABLE %s%I OF ai_audio.followed', prefix, title || '_follow');
    EXECUTE format('CREATE FUNCTION %s%I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS %L', prefix, title || '_queue',
      E'-- Whoever writes to the table, jobs are queued with the rights of its owner.\nDECLARE\n  what text;\n  n bigint;\n'
      'BEGIN\n  FOREACH what IN ARRAY ai_audio.queueing(TG_ARGV[0], TG_ARGV[1], TG_RELID, TG_OP) LOOP\n    EXECUTE what;\n    GET DIAGNOSTICS n = ROW_COUNT;\n'
      '    EXIT WHEN n = 0 AND what LIKE ''INSERT %'';\n  END LOOP;\n  RETURN NULL;\n'
      'EXCEPTION WHEN syntax_error_or_access_rule_violation THEN\n  PERFORM ai_audio.queueing_failed(TG_ARGV[0], TG_ARGV[1], SQLERRM);\n  RETURN NULL;\nEND');
    EXECUTE format('REVOKE ALL ON FUNCTION %s%I() FROM PUBLIC', prefix, title || '_queue');
    declared := to_regclass(prefix || quote_ident(title || '_follow'));
    f.jobs := to_regclass(prefix || quote_ident(title || '_jobs'));
    f.parts := ai_audio.parts(source);
  END IF;
  IF before.options ->> 'order' IS DISTINCT FROM o ->> 'order' OR before.name IS NULL THEN
    FOR target IN SELECT i.indexrelid FROM pg_index i WHERE i.indrelid = f.jobs AND pg_get_expr(i.indpred, i.indrelid) LIKE '%waiting%' LOOP
      EXECUTE format('DROP INDEX %s', target);
    END LOOP;
    EXECUTE format('CREATE INDEX ON %s (priority DESC, job %s) WHERE state = ''waiting''', f.jobs, CASE WHEN o ->> 'order' = 'newest' THEN 'DESC' ELSE 'ASC' END);
  END IF;
  FOREACH step IN ARRAY steps LOOP
    IF o #> ARRAY[step, 'into'] IS NOT NULL THEN
      target := ai_audio.check_into(step, o #> ARRAY[step, 'into'], source, key, source_key, space, vector_type, dimensions);
      SELECT c INTO wrong FROM ai_audio.columns_read(f.recordings, target) c JOIN jsonb_each_text(o #> ARRAY[step, 'into']) e ON e.value = c AND e.key <> 'table' LIMIT 1;
      IF wrong IS NOT NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = format('step "%s": column "%s" tells what the recording is: a result there would be a new recording', step, wrong);
      END IF;
    ELSE
      target := ai_audio.make_results(step, prefix || quote_ident(title || '_' || step), source, key, source_key, model, vector_type, dimensions);
    END IF;
    tables := tables || target;
  END LOOP;
  IF EXISTS (SELECT FROM jsonb_each_text(o #> '{voiceprint,into}') a JOIN jsonb_each_text(o #> '{quality,into}') b USING (value)
      WHERE a.key <> 'table' AND b.key <> 'table' AND tables[array_position(steps, 'voiceprint')] = tables[array_position(steps, 'quality')]) THEN
    RAISE invalid_parameter_value USING MESSAGE = 'option "into": two steps cannot put results into one column';
  END IF;
  f.tables := tables;
  EXECUTE format('DELETE FROM %s', declared);
  EXECUTE format('INSERT INTO %s SELECT ($1).*', declared) USING f;
  IF before.name IS NULL THEN
    PERFORM ai_audio.put_triggers(declared, f);
    IF o -> 'existing' IS DISTINCT FROM 'false' THEN
      PERFORM ai_audio.queue_missing(f, NULL);
    END IF;
    RETURN title;
  END IF;
  changed := ARRAY(SELECT s FROM unnest(steps) s WHERE s <> ALL (before.steps)
    OR coalesce(nullif(before.options -> s, 'true'), '{}') <> coalesce(nullif(o -> s, 'true'), '{}'));
  IF changed <> '{}' THEN
    EXECUTE format('UPDATE %s SET state = ''waiting'', job = DEFAULT, attempts = 0, kills = 0, since = now(), sqlstate = NULL, error = NULL,
      steps = CASE WHEN state = ''done'' THEN $1 ELSE NULL END', f.jobs) USING changed;
  END IF;
  PERFORM ai_audio.refresh(declared, true);
  RETURN title;
END
$$;
COMMENT ON FUNCTION ai_audio_follow(regclass, text, jsonb) IS
  'keeps results up to date for the recordings of a table that the caller owns; options and examples: docs/follow.md';
