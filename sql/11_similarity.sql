-- Voiceprints as clients send them: arrays of any numbers, and two parameters without a type, which Postgres takes for text.
-- A vector beside an array is compared as real[], by pgvector's implicit cast, and the planner makes vectors of both again;
-- there are no overloads for that, since they would make a parameter beside a vector ambiguous that is a vector today.
DO $$
DECLARE
  kind text;
BEGIN
  FOREACH kind IN ARRAY ARRAY['float8[]', 'numeric[]', 'integer[]', 'text'] LOOP
    EXECUTE format('CREATE OR REPLACE FUNCTION cosine_similarity(a %s, b %s) RETURNS float8
      LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 5 SUPPORT ai_audio.similarity_support
      AS %L, %L', kind, kind, 'MODULE_PATHNAME', 'cosine_similarity_mixed');
    EXECUTE format('COMMENT ON FUNCTION cosine_similarity(%s, %s) IS %L', kind, kind,
      'cosine similarity of two voiceprints, -1 to 1; NULL if either is all zeros');
  END LOOP;
END
$$;

-- pgvector casts its vectors to real[] only.
CREATE FUNCTION ai_audio.to_float8(voiceprint vector, modifier integer, explicit boolean) RETURNS float8[]
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'ai_audio_to_float8_wrapper';
COMMENT ON FUNCTION ai_audio.to_float8(vector, integer, boolean) IS 'casts a voiceprint into a column of type float8[]';
CREATE CAST (vector AS float8[]) WITH FUNCTION ai_audio.to_float8(vector, integer, boolean) AS ASSIGNMENT;
