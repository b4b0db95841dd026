-- Planner support functions take and return pointers of the planner's; they cannot be called from SQL.
CREATE FUNCTION ai_audio.similarity_support(internal) RETURNS internal
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
  AS 'MODULE_PATHNAME', 'ai_audio_similarity_support';
COMMENT ON FUNCTION ai_audio.similarity_support(internal) IS
  'lets ORDER BY cosine_similarity(...) DESC use a pgvector index';

CREATE FUNCTION ai_audio.once_support(internal) RETURNS internal
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
  AS 'MODULE_PATHNAME', 'ai_audio_once_support';
COMMENT ON FUNCTION ai_audio.once_support(internal) IS
  'runs a call whose arguments do not come from a row once per statement';

CREATE FUNCTION cosine_similarity(a vector, b vector) RETURNS float8
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 SUPPORT ai_audio.similarity_support
  AS 'MODULE_PATHNAME', 'cosine_similarity_vector';
COMMENT ON FUNCTION cosine_similarity(vector, vector) IS
  'cosine similarity of two voiceprints, -1 to 1; NULL if either is all zeros';

CREATE FUNCTION cosine_similarity(a halfvec, b halfvec) RETURNS float8
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 SUPPORT ai_audio.similarity_support
  AS 'MODULE_PATHNAME', 'cosine_similarity_halfvec';
COMMENT ON FUNCTION cosine_similarity(halfvec, halfvec) IS
  'cosine similarity of two half-precision voiceprints, -1 to 1; NULL if either is all zeros';
