CREATE FUNCTION ai_audio_stats(OUT calls bigint, OUT audio_seconds float8, OUT decode_ms float8,
    OUT inference_ms float8, OUT model_loads bigint, OUT llm_calls bigint, OUT llm_tokens bigint, OUT llm_ms float8) RETURNS SETOF record
  LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED COST 10 ROWS 1
  AS 'MODULE_PATHNAME', 'ai_audio_stats_wrapper';
COMMENT ON FUNCTION ai_audio_stats() IS
  'what this session has done so far: calls on recordings, seconds of audio, time decoding and in models, models loaded; requests to language models, their tokens and the time waited for them';
