-- Functions on recordings come in the same shapes, declared here once for all of them: the recording as text (a path or URL)
-- or as bytea (its bytes), options as text, jsonb or json, and whatever is not needed left out. All are called on NULL:
-- options and a model that are NULL count as not given.
--
-- Where options do not come as text beside the recording alone, those in json have a name of their own: Postgres could not
-- choose between json and jsonb for `options => '{...}'`. Dropped again in 99_comments.sql.
-- Of an array of recordings, text[] or bytea[], the C symbol ends in _all.
CREATE FUNCTION ai_audio.declare(name text, shape text, results text, properties text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  shapes text[] := CASE pg_catalog.replace(shape, 'sources', 'source')
    WHEN 'source' THEN ARRAY['source %s', 'source %s, options text', 'source %s, options jsonb', 'source %s, options json']
    WHEN 'model, source' THEN ARRAY['source %s', 'model text, source %s', 'source %s, options jsonb',
      'source %s, options_json json', 'model text, source %s, options text', 'model text, source %s, options jsonb',
      'model text, source %s, options json']
    WHEN 'source, model' THEN ARRAY['source %s, model text DEFAULT NULL, options text DEFAULT NULL',
      'source %s, model text, options jsonb', 'source %s, model text, options json', 'source %s, options jsonb',
      'source %s, options json']
    WHEN 'source, times' THEN ARRAY['source %s, start_time integer, end_time integer',
      'source %s, start_time integer, end_time integer, options text',
      'source %s, start_time integer, end_time integer, options jsonb',
      'source %s, start_time integer, end_time integer, options json',
      'source %s, start_time float8, end_time float8', 'source %s, start_time float8, end_time float8, options text',
      'source %s, start_time float8, end_time float8, options jsonb',
      'source %s, start_time float8, end_time float8, options json']
  END;
  kinds text[] := CASE shape WHEN 'model, sources' THEN ARRAY['text[]', 'bytea[]'] ELSE ARRAY['text', 'bytea'] END;
  symbol text := name || CASE shape WHEN 'model, sources' THEN '_all_wrapper' ELSE '_wrapper' END;
  arguments text;
  kind text;
BEGIN
  FOREACH kind IN ARRAY kinds LOOP
    IF shape IN ('model, source', 'model, sources') AND kind <> 'text' THEN
      shapes := shapes || ARRAY['source %s, model_or_options text'];
    END IF;
    FOREACH arguments IN ARRAY shapes LOOP
      EXECUTE pg_catalog.format('CREATE OR REPLACE FUNCTION %I(%s) %s AS %L, %L', name,
        pg_catalog.concat_ws(', ', pg_catalog.format(arguments, kind), nullif(results, '')), properties,
        'MODULE_PATHNAME', symbol);
    END LOOP;
  END LOOP;
END
$$;
