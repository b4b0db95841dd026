-- Same speaker or not, and whose voice, with options as text, jsonb or json, or none. ai_audio_verify takes recordings, and a
-- voiceprint beside one. Two voiceprints are vectors only: with halfvec beside it, Postgres would find two parameters without a type
-- ambiguous that are vectors today.
DO $$
DECLARE
  options text;
  a text;
  b text;
BEGIN
  FOREACH options IN ARRAY ARRAY['', ', options text', ', options jsonb', ', options json'] LOOP
    EXECUTE format('CREATE OR REPLACE FUNCTION ai_voice_verify(a vector, b vector%s,
        OUT same_speaker boolean, OUT probability float8, OUT similarity float8, OUT threshold float8)
      LANGUAGE c STABLE PARALLEL SAFE COST 20 AS %L, %L', options, 'MODULE_PATHNAME', 'ai_voice_verify_wrapper');
    FOREACH a IN ARRAY ARRAY['text', 'bytea', 'vector', 'halfvec'] LOOP
      FOREACH b IN ARRAY ARRAY['text', 'bytea', 'vector', 'halfvec'] LOOP
        CONTINUE WHEN a IN ('vector', 'halfvec') AND b IN ('vector', 'halfvec');
        EXECUTE format('CREATE OR REPLACE FUNCTION ai_audio_verify(a %s, b %s%s,
            OUT same_speaker boolean, OUT probability float8, OUT similarity float8, OUT threshold float8)
          LANGUAGE c STABLE PARALLEL SAFE COST 2000000 AS %L, %L', a, b, options, 'MODULE_PATHNAME', 'ai_audio_verify_wrapper');
      END LOOP;
    END LOOP;
    FOREACH b IN ARRAY ARRAY['regclass', 'text'] LOOP
      EXECUTE format('CREATE OR REPLACE FUNCTION ai_voice_identify(probe vector, library %s%s,
          OUT name text, OUT probability float8, OUT similarity float8, OUT margin float8, OUT nearest text,
          OUT runner_up text, OUT score float8)
        LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000 AS %L, %L', b, options, 'MODULE_PATHNAME', 'ai_voice_identify_wrapper');
      FOREACH a IN ARRAY ARRAY['text', 'bytea'] LOOP
        EXECUTE format('CREATE OR REPLACE FUNCTION ai_audio_identify(source %s, library %s%s,
            OUT rank integer, OUT name text, OUT probability float8, OUT similarity float8)
          RETURNS SETOF record LANGUAGE c STABLE PARALLEL RESTRICTED COST 1000000 ROWS 1 AS %L, %L',
          a, b, options, 'MODULE_PATHNAME', 'ai_audio_identify_wrapper');
      END LOOP;
    END LOOP;
  END LOOP;
END
$$;
