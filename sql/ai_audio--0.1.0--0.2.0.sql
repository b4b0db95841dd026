-- What changes in an installation of 0.1.0. A line `-- include NN_topic.sql` stands for that part of the install script:
-- parts that 0.1.0 did not have come whole, what changed in the others is written out here.
-- include 01_shapes.sql
-- include 11_similarity.sql
ALTER FUNCTION cosine_similarity(real[], real[]) SUPPORT ai_audio.similarity_support;
-- include 35_activity.sql
-- include 57_enhance.sql
-- include 70_stores.sql
-- include 75_inspect.sql

-- What no row can change runs once, whichever function it is.
ALTER FUNCTION ai_audio_extract(text, integer, integer) SUPPORT ai_audio.once_support;
ALTER FUNCTION ai_audio_extract(text, integer, integer, text) SUPPORT ai_audio.once_support;
ALTER FUNCTION ai_audio_extract(text, integer, integer, jsonb) SUPPORT ai_audio.once_support;
ALTER FUNCTION ai_audio_extract(bytea, integer, integer) SUPPORT ai_audio.once_support;
ALTER FUNCTION ai_audio_extract(bytea, integer, integer, text) SUPPORT ai_audio.once_support;
ALTER FUNCTION ai_audio_extract(bytea, integer, integer, jsonb) SUPPORT ai_audio.once_support;
-- How far the pairs of a calibration reach; one that was fitted before goes by their number.
ALTER TABLE ai_audio.calibrations ADD COLUMN lowest float8, ADD COLUMN highest float8;
-- ai_audio_quality has one more column.
-- Functions on recordings take NULL options, and options beside the recording alone. Those with more columns than before are made anew.
-- include 20_embed.sql
SELECT ai_audio.declare('ai_audio_info', 'source', '',
  'RETURNS jsonb LANGUAGE c STABLE PARALLEL SAFE COST 100000 SUPPORT ai_audio.once_support');
DROP FUNCTION ai_audio_sentences(text, text, text);
DROP FUNCTION ai_audio_sentences(text, text, jsonb);
DROP FUNCTION ai_audio_sentences(text, jsonb);
DROP FUNCTION ai_audio_sentences(bytea, text, text);
DROP FUNCTION ai_audio_sentences(bytea, text, jsonb);
DROP FUNCTION ai_audio_sentences(bytea, jsonb);
-- include 50_transcribe.sql
DROP FUNCTION ai_audio_diarize(text);
DROP FUNCTION ai_audio_diarize(text, text);
DROP FUNCTION ai_audio_diarize(text, jsonb);
DROP FUNCTION ai_audio_diarize(bytea);
DROP FUNCTION ai_audio_diarize(bytea, text);
DROP FUNCTION ai_audio_diarize(bytea, jsonb);
DROP FUNCTION ai_audio_segments(text);
DROP FUNCTION ai_audio_segments(text, text);
DROP FUNCTION ai_audio_segments(text, jsonb);
DROP FUNCTION ai_audio_segments(bytea);
DROP FUNCTION ai_audio_segments(bytea, text);
DROP FUNCTION ai_audio_segments(bytea, jsonb);
-- include 55_diarize.sql
DROP FUNCTION ai_audio_quality(text);
DROP FUNCTION ai_audio_quality(text, text);
DROP FUNCTION ai_audio_quality(text, jsonb);
DROP FUNCTION ai_audio_quality(bytea);
DROP FUNCTION ai_audio_quality(bytea, text);
DROP FUNCTION ai_audio_quality(bytea, jsonb);
-- include 62_quality.sql
-- include 64_compare.sql
CREATE FUNCTION ai_voice_cluster(voiceprint vector, options json) RETURNS integer
  LANGUAGE c IMMUTABLE WINDOW PARALLEL SAFE COST 1000
  AS 'MODULE_PATHNAME', 'ai_voice_cluster';
ALTER FUNCTION ai_audio_register_model(text, text, text, jsonb) CALLED ON NULL INPUT;
ALTER FUNCTION ai_audio_warmup(text) CALLED ON NULL INPUT;
-- include 80_follow.sql
-- ai_audio_stats counts what language models do.
DROP FUNCTION ai_audio_stats();
CREATE FUNCTION ai_audio_stats(OUT calls bigint, OUT audio_seconds float8, OUT decode_ms float8,
    OUT inference_ms float8, OUT model_loads bigint, OUT llm_calls bigint, OUT llm_tokens bigint, OUT llm_ms float8) RETURNS SETOF record
  LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED COST 10 ROWS 1
  AS 'MODULE_PATHNAME', 'ai_audio_stats_wrapper';
COMMENT ON FUNCTION ai_audio_stats() IS
  'what this session has done so far: calls on recordings, seconds of audio, time decoding and in models, models loaded; requests to language models, their tokens and the time waited for them';
-- include 99_comments.sql
