-- COST: one call works for tens of milliseconds, a million times an operator's cost.
CREATE FUNCTION ai_audio_embed(source text) RETURNS vector
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_embed_wrapper';
COMMENT ON FUNCTION ai_audio_embed(text) IS
  'voiceprint of the recording in a file or URL, by the default model';

CREATE FUNCTION ai_audio_embed(source bytea) RETURNS vector
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_embed_wrapper';
COMMENT ON FUNCTION ai_audio_embed(bytea) IS
  'voiceprint of the recording in a bytea, by the default model';

CREATE FUNCTION ai_audio_embed(model text, source text) RETURNS vector
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_embed_wrapper';
COMMENT ON FUNCTION ai_audio_embed(text, text) IS
  'voiceprint of the recording in a file or URL, by the named model';

CREATE FUNCTION ai_audio_embed(model text, source bytea) RETURNS vector
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_embed_wrapper';
COMMENT ON FUNCTION ai_audio_embed(text, bytea) IS
  'voiceprint of the recording in a bytea, by the named model';

CREATE FUNCTION ai_audio_embed(model text, source text, options text) RETURNS vector
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_embed_wrapper';
COMMENT ON FUNCTION ai_audio_embed(text, text, text) IS
  'voiceprint of the recording in a file or URL, by the named model, with options: start_time, end_time, channel, dimensions, normalize, on_error';

CREATE FUNCTION ai_audio_embed(model text, source text, options jsonb) RETURNS vector
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_embed_wrapper';
COMMENT ON FUNCTION ai_audio_embed(text, text, jsonb) IS
  'voiceprint of the recording in a file or URL, by the named model, with options: start_time, end_time, channel, dimensions, normalize, on_error';

CREATE FUNCTION ai_audio_embed(model text, source bytea, options text) RETURNS vector
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_embed_wrapper';
COMMENT ON FUNCTION ai_audio_embed(text, bytea, text) IS
  'voiceprint of the recording in a bytea, by the named model, with options: start_time, end_time, channel, dimensions, normalize, on_error';

CREATE FUNCTION ai_audio_embed(model text, source bytea, options jsonb) RETURNS vector
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_embed_wrapper';
COMMENT ON FUNCTION ai_audio_embed(text, bytea, jsonb) IS
  'voiceprint of the recording in a bytea, by the named model, with options: start_time, end_time, channel, dimensions, normalize, on_error';
