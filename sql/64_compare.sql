-- Same speaker or not, and whose voice: what is compared comes as vector or halfvec, or as a recording, and options as text,
-- jsonb or json, or not at all.
DO $$
DECLARE
  options text;
  a text;
  b text;
BEGIN
  FOREACH options IN ARRAY ARRAY['', ', options text', ', options jsonb', ', options json'] LOOP
    FOREACH a IN ARRAY ARRAY['text', 'bytea', 'vector', 'halfvec'] LOOP
      FOREACH b IN ARRAY ARRAY['text', 'bytea', 'vector', 'halfvec'] LOOP
        -- Two voiceprints are ai_voice_verify's; those of different precision are as wide as Postgres makes them.
        CONTINUE WHEN a IN ('vector', 'halfvec') AND b IN ('vector', 'halfvec') AND a <> b;
        EXECUTE format('CREATE OR REPLACE FUNCTION %I(a %s, b %s%s,
            OUT same_speaker boolean, OUT probability float8, OUT similarity float8, OUT threshold float8)
          LANGUAGE c STABLE PARALLEL SAFE COST %s AS %L, %L',
          CASE WHEN a IN ('vector', 'halfvec') AND a = b THEN 'ai_voice_verify' ELSE 'ai_audio_verify' END, a, b, options,
          CASE WHEN a = b AND a IN ('vector', 'halfvec') THEN 20 WHEN a IN ('vector', 'halfvec') OR b IN ('vector', 'halfvec')
            THEN 1000000 ELSE 2000000 END,
          'MODULE_PATHNAME',
          CASE WHEN a IN ('vector', 'halfvec') AND a = b THEN 'ai_voice_verify_wrapper' ELSE 'ai_audio_verify_wrapper' END);
      END LOOP;
      CONTINUE WHEN a NOT IN ('vector', 'halfvec');
      FOREACH b IN ARRAY ARRAY['regclass', 'text'] LOOP
        EXECUTE format('CREATE OR REPLACE FUNCTION ai_voice_identify(probe %s, library %s%s,
            OUT name text, OUT probability float8, OUT similarity float8, OUT margin float8, OUT nearest text,
            OUT runner_up text, OUT score float8)
          LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000 AS %L, %L',
          a, b, options, 'MODULE_PATHNAME', 'ai_voice_identify_wrapper');
      END LOOP;
    END LOOP;
    FOREACH a IN ARRAY ARRAY['text', 'bytea'] LOOP
      FOREACH b IN ARRAY ARRAY['regclass', 'text'] LOOP
        EXECUTE format('CREATE OR REPLACE FUNCTION ai_audio_identify(source %s, library %s%s,
            OUT rank integer, OUT name text, OUT probability float8, OUT similarity float8)
          RETURNS SETOF record LANGUAGE c STABLE PARALLEL RESTRICTED COST 1000000 ROWS 1 AS %L, %L',
          a, b, options, 'MODULE_PATHNAME', 'ai_audio_identify_wrapper');
      END LOOP;
    END LOOP;
  END LOOP;
END
$$;
