-- Voiceprints as clients send them: arrays of any numbers, and two parameters without a type, which Postgres takes for text.
-- The arrays are polymorphic, and must stay so: with real[] or float8[] in their place, Postgres would find a parameter without
-- a type beside a vector ambiguous, which is a vector so. Text beside a vector is left out for the same reason. The planner makes
-- vectors of what is beside one.
DO $$
DECLARE
  kinds text;
BEGIN
  FOREACH kinds IN ARRAY ARRAY['anycompatiblearray, anycompatiblearray', 'vector, anyarray', 'anyarray, vector',
    'halfvec, anyarray', 'anyarray, halfvec', 'text, text'] LOOP
    EXECUTE format('CREATE FUNCTION cosine_similarity(a %s, b %s) RETURNS float8
      LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 5 SUPPORT ai_audio.similarity_support
      AS %L, %L', split_part(kinds, ', ', 1), split_part(kinds, ', ', 2), 'MODULE_PATHNAME', 'cosine_similarity_mixed');
    EXECUTE format('COMMENT ON FUNCTION cosine_similarity(%s) IS %L', kinds,
      'cosine similarity of two voiceprints, -1 to 1; NULL if either is all zeros');
  END LOOP;
END
$$;

-- pgvector casts its vectors to real[] only.
CREATE FUNCTION ai_audio.to_float8(voiceprint vector, modifier integer, explicit boolean) RETURNS float8[]
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'ai_audio_to_float8_wrapper';
COMMENT ON FUNCTION ai_audio.to_float8(vector, integer, boolean) IS 'casts a voiceprint into a column of type float8[]';
CREATE CAST (vector AS float8[]) WITH FUNCTION ai_audio.to_float8(vector, integer, boolean) AS ASSIGNMENT;
