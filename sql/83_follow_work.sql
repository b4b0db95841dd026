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
      WHEN 'inspection' THEN format('(SELECT jsonb_agg(jsonb_build_object(''finding'', i.ordinality, ''result'', to_jsonb(i) - ''ordinality'')) FROM @extschema@.ai_audio_inspect($1, %L::%s, %L::jsonb) WITH ORDINALITY i)',
        o ->> 'policy', CASE jsonb_typeof(o -> 'policy') WHEN 'string' THEN 'text' ELSE 'jsonb' END, o - 'policy')
      END;
  END LOOP;
  EXECUTE format('SELECT jsonb_build_object(%s)', array_to_string(parts, ', ')) INTO heard USING recording;
  RETURN heard;
END
$$;
COMMENT ON FUNCTION ai_audio.hear(anyelement, text[], jsonb) IS 'the results of several steps on one recording';

-- Takes a job and says so; NULL if there is none. To be committed before the work, so that who dies of it is known.
CREATE FUNCTION ai_audio.take(f ai_audio.followed) RETURNS bigint
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off
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
-- Hearing is told to be costly: JIT would compile a statement of one row, each time.
CREATE FUNCTION ai_audio.work_on(follow regclass, f ai_audio.followed, job bigint) RETURNS text
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off
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
  missing text;
  there boolean;
  heard_before float8 := (SELECT s.audio_seconds FROM @extschema@.ai_audio_stats() s);
  code text;
  message text;
  result jsonb;
  statement text;
  rows bigint;
  passes boolean;
  -- The job's row, which knows the key, as long as the job is the one that was taken.
  my_row constant text := format('(SELECT %s FROM %s WHERE job = %s AND state = ''running'')', ai_audio.key_list(f.key), f.jobs, job);
BEGIN
  IF NOT pg_try_advisory_xact_lock(f.jobs::oid::bigint::bit(32)::integer, hashint8(work_on.job)) THEN
    RETURN 'running';
  END IF;
  IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = f.jobs) THEN
    RETURN 'waiting'; -- unfollowed meanwhile
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
      -- Somebody holds the row: it is tried again in a moment, since whoever waits for that would hear it again and again. Otherwise there is no such job any more. Nor is there one for a row that went without
      -- a trigger's knowledge (a partition that was detached or dropped, a replica's session), or that row level security hides from its owner.
      EXECUTE format('SELECT EXISTS (SELECT FROM %s r WHERE %s) FROM %s j WHERE job = $1 AND state = ''running'' FOR UPDATE SKIP LOCKED', f.recordings,
        ai_audio.key_join('j', f.key, 'r', f.key), f.jobs) INTO there USING work_on.job;
      IF there THEN
        EXECUTE format('UPDATE %s SET state = ''later'', due = clock_timestamp() + interval ''3 s'', attempts = greatest(attempts - 1, 0),
            job = %s nextval(pg_get_serial_sequence(%L, ''job'')) WHERE job = $1 AND state = ''running''', f.jobs,
          CASE WHEN f.options ->> 'order' = 'newest' THEN '-' ELSE '' END, f.jobs::text) USING work_on.job;
      ELSIF NOT there THEN
        EXECUTE format('DELETE FROM %s WHERE job = $1 AND state = ''running''', f.jobs) USING work_on.job;
      END IF;
      RETURN 'waiting';
    END IF;
    FOR step, target IN SELECT s, t FROM unnest(f.steps, f.tables) x(s, t) WHERE s = ANY (steps) LOOP
      result := coalesce(nullif(heard -> step, 'null'), '[]');
      IF f.options #> ARRAY[step, 'into'] IS NULL OR result = '[]' THEN
        FOREACH statement IN ARRAY ai_audio.clearing(f, my_row, f.key, ARRAY[step]) LOOP
          EXECUTE statement;
        END LOOP;
        CONTINUE WHEN result = '[]';
      END IF;
      IF f.options #> ARRAY[step, 'into'] IS NULL THEN
        SELECT array_agg(c.name), array_agg(c.name) INTO columns, into_columns FROM ai_audio.step_columns(step, '', 0) c;
      ELSE
        SELECT array_agg(e.key), array_agg(e.value) INTO columns, into_columns FROM jsonb_each_text(f.options #> ARRAY[step, 'into']) e WHERE e.key <> 'table';
      END IF;
      SELECT x.i INTO missing FROM unnest(into_columns) x(i) WHERE x.i NOT IN (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = target AND NOT a.attisdropped) LIMIT 1;
      IF FOUND THEN
        RAISE undefined_column USING MESSAGE = format('column "%s" of %s, for results of step "%s", does not exist any more', missing, target, step);
      END IF;
      SELECT string_agg(format('%I %s', x.c, format_type(a.atttypid, a.atttypmod)), ', ') INTO types
      FROM unnest(columns, into_columns) x(c, i) JOIN pg_attribute a ON a.attrelid = target AND a.attname = x.i;
      IF f.options #> ARRAY[step, 'into'] IS NOT NULL THEN
        -- The user's own row: nothing but the columns that the options name is written to.
        EXECUTE format('UPDATE %s t SET %s FROM %s o, jsonb_to_recordset($1) AS x(%s) WHERE %s', target,
          (SELECT string_agg(format('%I = x.%I', i, c), ', ') FROM unnest(columns, into_columns) x(c, i)), my_row, types,
          ai_audio.key_join('t', CASE WHEN target = f.source THEN source_key ELSE f.key END, 'o', f.key)) USING result;
        GET DIAGNOSTICS rows = ROW_COUNT;
        EXECUTE format('UPDATE %s SET written = true WHERE job = $1 AND state = ''running''', f.jobs) USING work_on.job;
        CONTINUE WHEN rows > 0 OR target = f.source;
      END IF;
      EXECUTE format('INSERT INTO %s (%s, %s) SELECT %s, %s FROM %s o, jsonb_to_recordset($1) AS x(%s)', target,
        ai_audio.key_list(CASE WHEN f.options #> ARRAY[step, 'into'] IS NULL THEN ai_audio.results_key(target, f.key) ELSE f.key END), ai_audio.key_list(into_columns),
        ai_audio.key_list(f.key, 'o.'), ai_audio.key_list(columns, 'x.'), my_row, types) USING result;
    END LOOP;
    EXECUTE format('UPDATE %s SET state = ''done'', steps = NULL, since = clock_timestamp(), seconds = $2, sqlstate = NULL, error = NULL WHERE job = $1 AND state = ''running''', f.jobs)
      USING work_on.job, coalesce((heard #>> '{quality,0,duration_seconds}')::float8,
        ((SELECT s.audio_seconds FROM @extschema@.ai_audio_stats() s) - heard_before) / greatest(cardinality(steps), 1));
    RETURN 'done';
  EXCEPTION WHEN OTHERS THEN
    code := SQLSTATE;
    message := SQLERRM;
  END;
  IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = f.jobs) THEN
    RETURN 'waiting';
  END IF;
  IF code IN ('42P01', '42703', '55000') THEN
    -- What would fail for every recording: a dropped column, a missing model.
    EXECUTE format('UPDATE %s SET state = ''waiting'', attempts = attempts - 1 WHERE job = $1 AND state = ''running''', f.jobs) USING work_on.job;
    EXECUTE format('UPDATE %s SET paused = $1', follow) USING message;
    RAISE WARNING 'paused "%": %', f.name, message USING HINT = 'When that is mended: ai_audio_resume.';
    RETURN 'paused';
  END IF;
  -- What may pass: connections, resources, the operator, locks, serialization. The rest is about this recording.
  passes := left(code, 2) IN ('08', '40', '53', '57', '58', '55') AND code <> '58P01';
  -- What cannot be heard must not be found by what was there before, by a change that went unnoticed. After a change of options it is the same recording.
  EXECUTE format('SELECT true FROM %s WHERE job = $1 AND state = ''running'' AND steps IS NULL AND NOT ($2 AND attempts < $3)', f.jobs) INTO there
    USING work_on.job, passes, f.max_attempts;
  IF there THEN
    FOREACH statement IN ARRAY ai_audio.clearing(f, my_row, f.key) LOOP
      EXECUTE statement;
    END LOOP;
  END IF;
  EXECUTE format('UPDATE %s SET state = CASE WHEN $4 AND attempts < $5 THEN ''later'' ELSE ''failed'' END, since = clock_timestamp(),
    due = clock_timestamp() + least(interval ''1 h'', interval ''5 s'' * power(3, attempts - 1)), sqlstate = $2, error = $3 WHERE job = $1 AND state = ''running''', f.jobs)
    USING work_on.job, code, message, passes, f.max_attempts;
  RETURN 'failed';
END
$$;
COMMENT ON FUNCTION ai_audio.work_on(regclass, ai_audio.followed, bigint) IS 'works on a job of a followed table';

-- Looks after a table whose partitions changed, in the background: who waits for a lock on one makes others wait behind, so it does not wait for long.
CREATE FUNCTION ai_audio.look_after(follow regclass) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  free boolean;
  patience constant text := current_setting('lock_timeout');
BEGIN
  EXECUTE format('SELECT true FROM %s FOR UPDATE SKIP LOCKED', follow) INTO free;
  IF free IS NULL THEN
    RETURN; -- another session does it
  END IF;
  BEGIN
    BEGIN
      PERFORM set_config('lock_timeout', '1s', true);
      PERFORM ai_audio.refresh(follow, true);
    EXCEPTION WHEN lock_not_available THEN
      RAISE WARNING 'new partitions of % are written to and have no triggers yet: what is written to them by their own names is not noticed', follow
        USING HINT = 'ai_audio_refresh puts them.';
      PERFORM ai_audio.refresh(follow, false);
    END;
    PERFORM set_config('lock_timeout', patience, true);
  EXCEPTION WHEN lock_not_available OR transaction_rollback THEN
    NULL; -- the next look does it
  WHEN OTHERS THEN
    RAISE WARNING 'paused %: %', follow, SQLERRM USING HINT = 'When that is mended: ai_audio_resume.';
    EXECUTE format('UPDATE %s SET paused = $1', follow) USING SQLERRM;
  END;
END
$$;
COMMENT ON FUNCTION ai_audio.look_after(regclass) IS 'looks after a followed table whose partitions changed';

-- Takes a job of one of the current user's followed tables, in turn.
CREATE FUNCTION ai_audio.next_job(OUT follow regclass, OUT job bigint) RETURNS record
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  x record;
BEGIN
  FOR x IN SELECT w.follow, w.f FROM ai_audio.follows() w
    WHERE w.owner = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user) ORDER BY random()
  LOOP
    IF coalesce((x.f).paused, 'by ai_audio_pause') = 'by ai_audio_pause' AND ai_audio.parts_changed(x.f) THEN
      PERFORM ai_audio.look_after(x.follow);
    END IF;
    CONTINUE WHEN (x.f).paused IS NOT NULL;
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
  FOR x IN SELECT w.owner, (w.f).jobs, (w.f).paused, ai_audio.parts_changed(w.f) AS changed FROM ai_audio.follows() w JOIN pg_roles r ON r.oid = w.owner
    WHERE r.rolcanlogin AND NOT r.rolsuper AND coalesce((w.f).paused, 'by ai_audio_pause') = 'by ai_audio_pause' ORDER BY random()
  LOOP
    IF x.changed THEN
      RETURN NEXT x.owner;
    END IF;
    CONTINUE WHEN x.changed OR x.paused IS NOT NULL;
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
  over timestamptz;
BEGIN
  IF max_jobs OPERATOR(pg_catalog.<) 0::bigint OR seconds OPERATOR(pg_catalog.<) 0::float8 OR seconds OPERATOR(pg_catalog.=) 'NaN'::float8 THEN
    RAISE invalid_parameter_value USING MESSAGE = 'how many recordings, and how many seconds, are numbers from 0 on; NULL is without end';
  END IF;
  over := CASE WHEN seconds OPERATOR(pg_catalog.<) 1e9::float8 THEN pg_catalog.timestamptz_pl_interval(begun, pg_catalog.make_interval(secs => seconds)) END;
  LOOP
    EXIT WHEN max_jobs OPERATOR(pg_catalog.<=) counted OR over OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp();
    SELECT n.follow, n.job INTO taken FROM ai_audio.next_job() n;
    COMMIT;
    EXIT WHEN taken.job IS NULL;
    BEGIN
      EXECUTE pg_catalog.format('SELECT * FROM %s', taken.follow) INTO declared;
    EXCEPTION WHEN undefined_table OR syntax_error THEN
      CONTINUE; -- unfollowed meanwhile
    END;
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

