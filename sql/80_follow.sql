-- Keeping up: the rows of a followed table are worked on as they arrive.
--
-- All that belongs to a followed table belongs to its owner and lies beside it: NAME_follow (one row: what was declared),
-- NAME_jobs (one row per recording), NAME_recordings (a view: key and recording), maybe NAME_priorities, and a table of results per
-- step. So privileges, dump, restore and DROP are Postgres' own, and nothing here needs more rights than the caller has. Followed
-- tables are found by the type of NAME_follow. What names cannot keep is kept by dependency: views follow renames, regclass those of tables.
CREATE TYPE ai_audio.followed AS (
  name text,
  source regclass,
  recordings regclass,
  priorities regclass,
  jobs regclass,
  key text[],
  key_index text,
  parts regclass[],
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
          ('since', 'timestamptz'), ('seconds', 'float8'), ('sqlstate', 'text'), ('error', 'text'), ('written', 'boolean')) w(name, type)
          ON a.attname = w.name AND a.atttypid = w.type::regtype
        WHERE a.attrelid = f.jobs AND NOT a.attisdropped) < 10;
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

-- This and what follows is called by each trigger, or for each job: PL/pgSQL keeps plans, SQL would make them anew.

-- Columns of results, per step.
CREATE FUNCTION ai_audio.step_columns(step text, vector text, dimensions integer, OUT name text, OUT type text) RETURNS SETOF record
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT c.name, CASE WHEN c.step = 'voiceprint' THEN format('%s(%s)', vector, dimensions) WHEN c.type = 'vector' THEN vector ELSE c.type END
  FROM (VALUES
    ('voiceprint', 'voiceprint', 'vector'),
    ('sentences', 'channel_id', 'integer'), ('sentences', 'sentence_id', 'integer'), ('sentences', 'speaker_id', 'integer'),
    ('sentences', 'start_time', 'integer'), ('sentences', 'end_time', 'integer'), ('sentences', 'text', 'text'),
    ('sentences', 'language', 'text'), ('sentences', 'confidence', 'real'), ('sentences', 'words', 'jsonb'),
    ('sentences', 'speaker_name', 'text'), ('sentences', 'speaker_probability', 'double precision'), ('sentences', 'embedding', 'vector'),
    ('speakers', 'turn', 'integer'), ('speakers', 'speaker_id', 'integer'), ('speakers', 'start_time', 'integer'),
    ('speakers', 'end_time', 'integer'), ('speakers', 'overlap', 'boolean'), ('speakers', 'confidence', 'real'),
    ('speakers', 'embedding', 'vector'), ('speakers', 'name', 'text'), ('speakers', 'seconds', 'double precision'),
    ('quality', 'speech_seconds', 'double precision'), ('quality', 'duration_seconds', 'double precision'), ('quality', 'snr_db', 'double precision'),
    ('quality', 'clipping', 'double precision'), ('quality', 'bandwidth_hz', 'integer'), ('quality', 'fit_to_enrol', 'boolean'),
    ('quality', 'reason', 'text'), ('quality', 'speakers', 'integer'),
    ('inspection', 'finding', 'integer'), ('inspection', 'result', 'jsonb')
  ) AS c(step, name, type)
  WHERE c.step = step_columns.step;
END
$$;
COMMENT ON FUNCTION ai_audio.step_columns(text, text, integer) IS 'the columns of results of a step of followed tables';

-- The columns of the key as they are called now, in the order of the jobs' key columns.
CREATE FUNCTION ai_audio.key_columns(source regclass, key_index text) RETURNS text[]
  LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT array_agg(a.attname::text ORDER BY k.n)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid, unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, n), pg_attribute a
    WHERE i.indrelid = source AND CASE WHEN key_index IS NULL THEN i.indisprimary ELSE c.relname = key_index END
      AND k.n <= i.indnkeyatts AND a.attrelid = source AND a.attnum = k.attnum);
END
$$;
COMMENT ON FUNCTION ai_audio.key_columns(regclass, text) IS 'the columns of the key of a followed table';

-- "a.x = b.y AND ...".
CREATE FUNCTION ai_audio.key_join(a text, a_columns text[], b text, b_columns text[]) RETURNS text
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT string_agg(format('%s.%I = %s.%I', a, x, b, y), ' AND ') FROM unnest(a_columns, b_columns) AS k(x, y));
END
$$;
COMMENT ON FUNCTION ai_audio.key_join(text, text[], text, text[]) IS 'the condition that two keys are the same';

CREATE FUNCTION ai_audio.key_list(columns text[], prefix text DEFAULT '') RETURNS text
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT string_agg(prefix || quote_ident(c), ', ' ORDER BY n) FROM unnest(columns) WITH ORDINALITY k(c, n));
END
$$;
COMMENT ON FUNCTION ai_audio.key_list(text[], text) IS 'columns, separated by commas';

-- The partitions of a table, of all levels, without locks.
CREATE FUNCTION ai_audio.parts(source regclass) RETURNS regclass[]
  LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = source AND c.relkind = 'p') THEN
    RETURN '{}';
  END IF;
  RETURN (WITH RECURSIVE p AS (
    SELECT i.inhrelid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition WHERE i.inhparent = source
    UNION ALL SELECT i.inhrelid FROM pg_inherits i JOIN p ON i.inhparent = p.inhrelid)
  SELECT coalesce(array_agg(inhrelid::regclass), '{}') FROM p);
END
$$;
COMMENT ON FUNCTION ai_audio.parts(regclass) IS 'the partitions of a table';

-- No trigger tells that a partition came or went; this does.
CREATE FUNCTION ai_audio.parts_changed(f ai_audio.followed) RETURNS boolean
  LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  parts constant oid[] := ai_audio.parts(f.source);
BEGIN
  RETURN NOT (parts @> f.parts::oid[] AND parts <@ f.parts::oid[]) AND (SELECT count(*) FROM pg_class c WHERE c.oid IN (f.source, f.recordings)) = 2;
END
$$;
COMMENT ON FUNCTION ai_audio.parts_changed(ai_audio.followed) IS 'whether a followed table has other partitions than when it was last looked at';

-- The columns of a table that a view reads.
CREATE FUNCTION ai_audio.columns_read(view regclass, source regclass) RETURNS SETOF text
  LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  -- Dependencies do not tell who reads a whole row: the view's tree does.
  IF EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = view AND w.ev_action::text ~ '\{VAR :varno \d+ :varattno 0 ') THEN
    RETURN QUERY SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = source AND a.attnum > 0 AND NOT a.attisdropped;
    RETURN;
  END IF;
  RETURN QUERY SELECT DISTINCT a.attname::text FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
  JOIN pg_attribute a ON d.refclassid = 'pg_class'::regclass AND a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
  WHERE w.ev_class = view AND d.refobjid = source AND d.refobjsubid > 0 AND NOT a.attisdropped;
END
$$;
COMMENT ON FUNCTION ai_audio.columns_read(regclass, regclass) IS 'the columns of a table that a view reads';

-- The key columns of a table that was made for results, which come first in it, as they are called now.
CREATE FUNCTION ai_audio.results_key(target regclass, key text[]) RETURNS text[]
  LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = target AND a.attnum BETWEEN 1 AND cardinality(key) AND NOT a.attisdropped);
END
$$;
COMMENT ON FUNCTION ai_audio.results_key(regclass, text[]) IS 'the key columns of a table of results of a followed table';

-- Whether a table was made for the results of a step: only such a table is written to, and dropped, unasked.
CREATE FUNCTION ai_audio.is_results(target regclass) RETURNS boolean
  LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(obj_description(target, 'pg_class'), '') LIKE 'results of ai\_audio''s step %'
$$;
COMMENT ON FUNCTION ai_audio.is_results(regclass) IS 'whether ai_audio_follow made the table';
