CREATE FUNCTION cosine_similarity(a vector, b vector) RETURNS float8
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1
  AS 'MODULE_PATHNAME', 'cosine_similarity_vector';
COMMENT ON FUNCTION cosine_similarity(vector, vector) IS
  'cosine similarity of two voiceprints, -1 to 1; NULL if either is all zeros';

CREATE FUNCTION cosine_similarity(a halfvec, b halfvec) RETURNS float8
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1
  AS 'MODULE_PATHNAME', 'cosine_similarity_halfvec';
COMMENT ON FUNCTION cosine_similarity(halfvec, halfvec) IS
  'cosine similarity of two half-precision voiceprints, -1 to 1; NULL if either is all zeros';

CREATE FUNCTION cosine_similarity(a real[], b real[]) RETURNS float8
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1
  AS 'MODULE_PATHNAME', 'cosine_similarity_real';
COMMENT ON FUNCTION cosine_similarity(real[], real[]) IS
  'cosine similarity of two voiceprints stored as arrays, -1 to 1; NULL if either is all zeros';
