-- What users do with followed tables, and what they look at.
CREATE FUNCTION ai_audio_pause(name text) RETURNS void
  LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE COST 1000 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  EXECUTE format('UPDATE %s SET paused = ''by ai_audio_pause''', (ai_audio.own_follow(name)).follow);
END
$$;
COMMENT ON FUNCTION ai_audio_pause(text) IS 'lets a followed table wait: jobs are queued, none is taken; docs/follow.md';

CREATE FUNCTION ai_audio_refresh(name text) RETURNS bigint
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
  RETURN ai_audio.refresh(x.follow, true);
END
$$;
COMMENT ON FUNCTION ai_audio_refresh(text) IS
  'makes good for a followed table what no trigger told, such as partitions that came or went; gives the number of rows that are queued by it; docs/follow.md';

CREATE FUNCTION ai_audio_resume(name text) RETURNS bigint
  LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE COST 1000 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  queued constant bigint := @extschema@.ai_audio_refresh(name);
BEGIN
  EXECUTE format('UPDATE %s SET paused = NULL', (ai_audio.own_follow(name)).follow);
  RETURN queued;
END
$$;
COMMENT ON FUNCTION ai_audio_resume(text) IS 'goes on with a followed table, after ai_audio_refresh; gives the number of rows that are queued by it; docs/follow.md';

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
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 1000 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  x record;
  target regclass;
BEGIN
  IF name IS NULL THEN
    RETURN;
  END IF;
  SELECT * INTO x FROM ai_audio.own_follow(name);
  -- In the order in which workers come to them.
  FOR target IN SELECT c.oid FROM unnest(ARRAY[x.follow, (x.f).jobs, (x.f).source] || (x.f).tables) WITH ORDINALITY t(t, n) JOIN pg_class c ON c.oid = t.t ORDER BY t.n LOOP
    EXECUTE format('LOCK TABLE %s', target);
  END LOOP;
  IF ai_audio.queue_function(x.follow, x.f) IS NOT NULL THEN
    EXECUTE format('DROP FUNCTION %s() CASCADE', ai_audio.queue_function(x.follow, x.f));
  END IF;
  FOR target IN SELECT t FROM unnest((x.f).steps, (x.f).tables) k(s, t)
    WHERE NOT keep_results AND (x.f).options #> ARRAY[s, 'into'] IS NULL AND ai_audio.is_results(t) LOOP
    EXECUTE format('DROP TABLE %s', target);
  END LOOP;
  FOR target IN SELECT c.oid FROM pg_class c WHERE c.oid IN ((x.f).recordings, (x.f).priorities) LOOP
    EXECUTE format('DROP VIEW %s', target);
  END LOOP;
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
    source := (SELECT c.oid FROM pg_class c WHERE c.oid = (x.f).source);
    owner := pg_get_userbyid(x.owner);
    paused := coalesce(CASE WHEN source IS NULL THEN 'the table does not exist any more: ai_audio_unfollow removes the rest' END, (x.f).paused);
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
