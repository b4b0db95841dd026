-- COST: one call works for tens of milliseconds, a million times an operator's cost.
CREATE FUNCTION ai_audio_embed(source text) RETURNS vector
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_embed_wrapper';

CREATE FUNCTION ai_audio_embed(source bytea) RETURNS vector
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_embed_wrapper';

CREATE FUNCTION ai_audio_embed(model text, source text) RETURNS vector
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_embed_wrapper';

CREATE FUNCTION ai_audio_embed(model text, source bytea) RETURNS vector
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_embed_wrapper';

CREATE FUNCTION ai_audio_embed(model text, source text, options text) RETURNS vector
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_embed_wrapper';

CREATE FUNCTION ai_audio_embed(model text, source text, options jsonb) RETURNS vector
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_embed_wrapper';

CREATE FUNCTION ai_audio_embed(model text, source bytea, options text) RETURNS vector
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_embed_wrapper';

CREATE FUNCTION ai_audio_embed(model text, source bytea, options jsonb) RETURNS vector
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_embed_wrapper';
