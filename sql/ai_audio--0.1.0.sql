-- The install script of 0.1.0, as it was released. It does not change any more.
\echo Use "CREATE EXTENSION ai_audio CASCADE" to load this file. \quit

-- Roles belong to the cluster, so another database's copy of the extension may have made it already. It stays after
-- DROP EXTENSION.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'ai_audio_fetch_url') THEN
    CREATE ROLE ai_audio_fetch_url NOLOGIN;
    COMMENT ON ROLE ai_audio_fetch_url IS 'may have ai_audio functions fetch recordings from http(s) URLs';
  END IF;
END
$$;

-- What users did not ask for stays out of their schemas.
CREATE SCHEMA ai_audio;
COMMENT ON SCHEMA ai_audio IS 'internals of the extension ai_audio: registered models and calibrations';
GRANT USAGE ON SCHEMA ai_audio TO PUBLIC;
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

CREATE FUNCTION cosine_similarity(a real[], b real[]) RETURNS float8
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1
  AS 'MODULE_PATHNAME', 'cosine_similarity_real';
COMMENT ON FUNCTION cosine_similarity(real[], real[]) IS
  'cosine similarity of two voiceprints stored as arrays, -1 to 1; NULL if either is all zeros';
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
CREATE FUNCTION ai_audio_info(source text) RETURNS jsonb
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_info_wrapper';
COMMENT ON FUNCTION ai_audio_info(text) IS
  'container, codec, sample rate, channels and duration (ms) of a recording';

CREATE FUNCTION ai_audio_info(source text, options text) RETURNS jsonb
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_info_wrapper';
COMMENT ON FUNCTION ai_audio_info(text, text) IS
  'container, codec, sample rate, channels and duration (ms) of a recording, with option on_error';

CREATE FUNCTION ai_audio_info(source text, options jsonb) RETURNS jsonb
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_info_wrapper';
COMMENT ON FUNCTION ai_audio_info(text, jsonb) IS
  'container, codec, sample rate, channels and duration (ms) of a recording, with option on_error';

CREATE FUNCTION ai_audio_info(source bytea) RETURNS jsonb
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_info_wrapper';
COMMENT ON FUNCTION ai_audio_info(bytea) IS
  'container, codec, sample rate, channels and duration (ms) of a recording';

CREATE FUNCTION ai_audio_info(source bytea, options text) RETURNS jsonb
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_info_wrapper';
COMMENT ON FUNCTION ai_audio_info(bytea, text) IS
  'container, codec, sample rate, channels and duration (ms) of a recording, with option on_error';

CREATE FUNCTION ai_audio_info(source bytea, options jsonb) RETURNS jsonb
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_info_wrapper';
COMMENT ON FUNCTION ai_audio_info(bytea, jsonb) IS
  'container, codec, sample rate, channels and duration (ms) of a recording, with option on_error';

CREATE FUNCTION ai_audio_version(OUT extension text, OUT onnxruntime text, OUT build text) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000 ROWS 1
  AS 'MODULE_PATHNAME', 'ai_audio_version_wrapper';
COMMENT ON FUNCTION ai_audio_version() IS
  'versions of the extension and of the ONNX Runtime library it uses, and how it was built';

CREATE FUNCTION ai_audio_stats(OUT calls bigint, OUT audio_seconds float8, OUT decode_ms float8,
    OUT inference_ms float8, OUT model_loads bigint) RETURNS SETOF record
  LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED COST 10 ROWS 1
  AS 'MODULE_PATHNAME', 'ai_audio_stats_wrapper';
COMMENT ON FUNCTION ai_audio_stats() IS
  'what this session has done so far: calls on recordings, seconds of audio, time decoding and in models, models loaded';
CREATE TABLE ai_audio.models (
  name text PRIMARY KEY,
  task text NOT NULL,
  path text NOT NULL,
  config jsonb NOT NULL DEFAULT '{}',
  dimensions integer,
  sha256 text
);
COMMENT ON TABLE ai_audio.models IS 'models added with ai_audio_register_model; listed by the view ai_audio_models';
GRANT SELECT ON ai_audio.models TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('ai_audio.models', '');

CREATE FUNCTION ai_audio.list_models(OUT name text, OUT aliases text[], OUT task text, OUT dimensions integer,
    OUT sample_rate integer, OUT languages text[], OUT licence text, OUT file text, OUT size bigint, OUT sha256 text,
    OUT loaded boolean, OUT built_in boolean) RETURNS SETOF record
  LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED COST 1000 ROWS 10
  AS 'MODULE_PATHNAME', 'ai_audio_list_models_wrapper';
COMMENT ON FUNCTION ai_audio.list_models() IS 'rows of the view ai_audio_models';

CREATE VIEW ai_audio_models AS SELECT * FROM ai_audio.list_models();
COMMENT ON VIEW ai_audio_models IS 'models that can be named in ai_audio functions, and whether this session has them loaded';
GRANT SELECT ON ai_audio_models TO PUBLIC;

CREATE FUNCTION ai_audio_register_model(name text, task text, path text, config jsonb DEFAULT '{}') RETURNS void
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE COST 100000
  AS 'MODULE_PATHNAME', 'ai_audio_register_model_wrapper';
COMMENT ON FUNCTION ai_audio_register_model(text, text, text, jsonb) IS
  'adds a model from an ONNX file (or directory) on the server; superusers only';
REVOKE ALL ON FUNCTION ai_audio_register_model(text, text, text, jsonb) FROM PUBLIC;

CREATE FUNCTION ai_audio_drop_model(name text) RETURNS void
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE COST 1000
  AS 'MODULE_PATHNAME', 'ai_audio_drop_model_wrapper';
COMMENT ON FUNCTION ai_audio_drop_model(text) IS
  'forgets a model that was added with ai_audio_register_model; its file stays; superusers only';
REVOKE ALL ON FUNCTION ai_audio_drop_model(text) FROM PUBLIC;

CREATE FUNCTION ai_audio_warmup(model text DEFAULT 'audio_embedding') RETURNS void
  LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED COST 100000
  AS 'MODULE_PATHNAME', 'ai_audio_warmup_wrapper';
COMMENT ON FUNCTION ai_audio_warmup(text) IS 'loads a model into this session ahead of the first query that needs it';
-- COST: one call works for seconds, tens of millions of times an operator's cost.

CREATE FUNCTION ai_audio_transcribe(source text) RETURNS text
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_transcribe_wrapper';
COMMENT ON FUNCTION ai_audio_transcribe(text) IS
  'what is said in the recording in a file or URL, by the default model';

CREATE FUNCTION ai_audio_transcribe(source bytea) RETURNS text
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_transcribe_wrapper';
COMMENT ON FUNCTION ai_audio_transcribe(bytea) IS
  'what is said in the recording in a bytea, by the default model';

CREATE FUNCTION ai_audio_transcribe(model text, source text) RETURNS text
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_transcribe_wrapper';
COMMENT ON FUNCTION ai_audio_transcribe(text, text) IS
  'what is said in the recording in a file or URL, by the named model';

CREATE FUNCTION ai_audio_transcribe(model text, source bytea) RETURNS text
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_transcribe_wrapper';
COMMENT ON FUNCTION ai_audio_transcribe(text, bytea) IS
  'what is said in the recording in a bytea, by the named model';

CREATE FUNCTION ai_audio_transcribe(model text, source text, options text) RETURNS text
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_transcribe_wrapper';
COMMENT ON FUNCTION ai_audio_transcribe(text, text, text) IS
  'what is said in the recording in a file or URL, by the named model, with options: output_type (''text'', ''json'', ''srt'', ''vtt''), start_time, end_time, channel (''mix'', ''each'' or a number), lang, task, prompt, hotwords, word_timestamps, beam_size, temperature, diarization, speaker_count, diarization_mode, on_error';

CREATE FUNCTION ai_audio_transcribe(model text, source text, options jsonb) RETURNS text
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_transcribe_wrapper';
COMMENT ON FUNCTION ai_audio_transcribe(text, text, jsonb) IS
  'what is said in the recording in a file or URL, by the named model, with options: output_type (''text'', ''json'', ''srt'', ''vtt''), start_time, end_time, channel (''mix'', ''each'' or a number), lang, task, prompt, hotwords, word_timestamps, beam_size, temperature, diarization, speaker_count, diarization_mode, on_error';

CREATE FUNCTION ai_audio_transcribe(model text, source bytea, options text) RETURNS text
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_transcribe_wrapper';
COMMENT ON FUNCTION ai_audio_transcribe(text, bytea, text) IS
  'what is said in the recording in a bytea, by the named model, with options: output_type (''text'', ''json'', ''srt'', ''vtt''), start_time, end_time, channel (''mix'', ''each'' or a number), lang, task, prompt, hotwords, word_timestamps, beam_size, temperature, diarization, speaker_count, diarization_mode, on_error';

CREATE FUNCTION ai_audio_transcribe(model text, source bytea, options jsonb) RETURNS text
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_transcribe_wrapper';
COMMENT ON FUNCTION ai_audio_transcribe(text, bytea, jsonb) IS
  'what is said in the recording in a bytea, by the named model, with options: output_type (''text'', ''json'', ''srt'', ''vtt''), start_time, end_time, channel (''mix'', ''each'' or a number), lang, task, prompt, hotwords, word_timestamps, beam_size, temperature, diarization, speaker_count, diarization_mode, on_error';

CREATE FUNCTION ai_audio_sentences(source text, model text DEFAULT NULL, options text DEFAULT NULL,
    OUT channel_id integer, OUT sentence_id integer, OUT speaker_id integer,
    OUT start_time integer, OUT end_time integer, OUT text text, OUT language text, OUT confidence real, OUT words jsonb) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_sentences_wrapper';
COMMENT ON FUNCTION ai_audio_sentences(text, text, text) IS
  'what is said in the recording in a file or URL, a row per sentence, as it is recognised; times in ms; options: start_time, end_time, channel (''mix'', ''each'' or a number), lang, task, prompt, hotwords, word_timestamps, beam_size, temperature, diarization, speaker_count, diarization_mode, on_error';

CREATE FUNCTION ai_audio_sentences(source text, model text, options jsonb,
    OUT channel_id integer, OUT sentence_id integer, OUT speaker_id integer,
    OUT start_time integer, OUT end_time integer, OUT text text, OUT language text, OUT confidence real, OUT words jsonb) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_sentences_wrapper';
COMMENT ON FUNCTION ai_audio_sentences(text, text, jsonb) IS
  'what is said in the recording in a file or URL, a row per sentence, as it is recognised; times in ms; options: start_time, end_time, channel (''mix'', ''each'' or a number), lang, task, prompt, hotwords, word_timestamps, beam_size, temperature, diarization, speaker_count, diarization_mode, on_error';

CREATE FUNCTION ai_audio_sentences(source text, options jsonb,
    OUT channel_id integer, OUT sentence_id integer, OUT speaker_id integer,
    OUT start_time integer, OUT end_time integer, OUT text text, OUT language text, OUT confidence real, OUT words jsonb) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_sentences_wrapper';
COMMENT ON FUNCTION ai_audio_sentences(text, jsonb) IS
  'what is said in the recording in a file or URL, a row per sentence, as it is recognised; times in ms; options: start_time, end_time, channel (''mix'', ''each'' or a number), lang, task, prompt, hotwords, word_timestamps, beam_size, temperature, diarization, speaker_count, diarization_mode, on_error';

CREATE FUNCTION ai_audio_sentences(source bytea, model text DEFAULT NULL, options text DEFAULT NULL,
    OUT channel_id integer, OUT sentence_id integer, OUT speaker_id integer,
    OUT start_time integer, OUT end_time integer, OUT text text, OUT language text, OUT confidence real, OUT words jsonb) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_sentences_wrapper';
COMMENT ON FUNCTION ai_audio_sentences(bytea, text, text) IS
  'what is said in the recording in a bytea, a row per sentence, as it is recognised; times in ms; options: start_time, end_time, channel (''mix'', ''each'' or a number), lang, task, prompt, hotwords, word_timestamps, beam_size, temperature, diarization, speaker_count, diarization_mode, on_error';

CREATE FUNCTION ai_audio_sentences(source bytea, model text, options jsonb,
    OUT channel_id integer, OUT sentence_id integer, OUT speaker_id integer,
    OUT start_time integer, OUT end_time integer, OUT text text, OUT language text, OUT confidence real, OUT words jsonb) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_sentences_wrapper';
COMMENT ON FUNCTION ai_audio_sentences(bytea, text, jsonb) IS
  'what is said in the recording in a bytea, a row per sentence, as it is recognised; times in ms; options: start_time, end_time, channel (''mix'', ''each'' or a number), lang, task, prompt, hotwords, word_timestamps, beam_size, temperature, diarization, speaker_count, diarization_mode, on_error';

CREATE FUNCTION ai_audio_sentences(source bytea, options jsonb,
    OUT channel_id integer, OUT sentence_id integer, OUT speaker_id integer,
    OUT start_time integer, OUT end_time integer, OUT text text, OUT language text, OUT confidence real, OUT words jsonb) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_sentences_wrapper';
COMMENT ON FUNCTION ai_audio_sentences(bytea, jsonb) IS
  'what is said in the recording in a bytea, a row per sentence, as it is recognised; times in ms; options: start_time, end_time, channel (''mix'', ''each'' or a number), lang, task, prompt, hotwords, word_timestamps, beam_size, temperature, diarization, speaker_count, diarization_mode, on_error';

CREATE FUNCTION ai_audio_detect_language(source text, model text DEFAULT NULL, options text DEFAULT NULL,
    OUT language text, OUT probability real) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 1000000 ROWS 1
  AS 'MODULE_PATHNAME', 'ai_audio_detect_language_wrapper';
COMMENT ON FUNCTION ai_audio_detect_language(text, text, text) IS
  'language of the first speech in the recording in a file or URL, NULL if nobody speaks; options: start_time, end_time, channel, on_error';

CREATE FUNCTION ai_audio_detect_language(source text, model text, options jsonb,
    OUT language text, OUT probability real) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 1000000 ROWS 1
  AS 'MODULE_PATHNAME', 'ai_audio_detect_language_wrapper';
COMMENT ON FUNCTION ai_audio_detect_language(text, text, jsonb) IS
  'language of the first speech in the recording in a file or URL, NULL if nobody speaks; options: start_time, end_time, channel, on_error';

CREATE FUNCTION ai_audio_detect_language(source text, options jsonb,
    OUT language text, OUT probability real) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 1000000 ROWS 1
  AS 'MODULE_PATHNAME', 'ai_audio_detect_language_wrapper';
COMMENT ON FUNCTION ai_audio_detect_language(text, jsonb) IS
  'language of the first speech in the recording in a file or URL, NULL if nobody speaks; options: start_time, end_time, channel, on_error';

CREATE FUNCTION ai_audio_detect_language(source bytea, model text DEFAULT NULL, options text DEFAULT NULL,
    OUT language text, OUT probability real) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 1000000 ROWS 1
  AS 'MODULE_PATHNAME', 'ai_audio_detect_language_wrapper';
COMMENT ON FUNCTION ai_audio_detect_language(bytea, text, text) IS
  'language of the first speech in the recording in a bytea, NULL if nobody speaks; options: start_time, end_time, channel, on_error';

CREATE FUNCTION ai_audio_detect_language(source bytea, model text, options jsonb,
    OUT language text, OUT probability real) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 1000000 ROWS 1
  AS 'MODULE_PATHNAME', 'ai_audio_detect_language_wrapper';
COMMENT ON FUNCTION ai_audio_detect_language(bytea, text, jsonb) IS
  'language of the first speech in the recording in a bytea, NULL if nobody speaks; options: start_time, end_time, channel, on_error';

CREATE FUNCTION ai_audio_detect_language(source bytea, options jsonb,
    OUT language text, OUT probability real) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 1000000 ROWS 1
  AS 'MODULE_PATHNAME', 'ai_audio_detect_language_wrapper';
COMMENT ON FUNCTION ai_audio_detect_language(bytea, jsonb) IS
  'language of the first speech in the recording in a bytea, NULL if nobody speaks; options: start_time, end_time, channel, on_error';

CREATE FUNCTION ai_audio_vad(source text, OUT start_time integer, OUT end_time integer) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_vad_wrapper';
COMMENT ON FUNCTION ai_audio_vad(text) IS
  'when somebody speaks in the recording in a file or URL, ms';

CREATE FUNCTION ai_audio_vad(source text, options text, OUT start_time integer, OUT end_time integer) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_vad_wrapper';
COMMENT ON FUNCTION ai_audio_vad(text, text) IS
  'when somebody speaks in the recording in a file or URL, ms; options: start_time, end_time, channel, threshold, min_speech, min_silence, pad, on_error';

CREATE FUNCTION ai_audio_vad(source text, options jsonb, OUT start_time integer, OUT end_time integer) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_vad_wrapper';
COMMENT ON FUNCTION ai_audio_vad(text, jsonb) IS
  'when somebody speaks in the recording in a file or URL, ms; options: start_time, end_time, channel, threshold, min_speech, min_silence, pad, on_error';

CREATE FUNCTION ai_audio_vad(source bytea, OUT start_time integer, OUT end_time integer) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_vad_wrapper';
COMMENT ON FUNCTION ai_audio_vad(bytea) IS
  'when somebody speaks in the recording in a bytea, ms';

CREATE FUNCTION ai_audio_vad(source bytea, options text, OUT start_time integer, OUT end_time integer) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_vad_wrapper';
COMMENT ON FUNCTION ai_audio_vad(bytea, text) IS
  'when somebody speaks in the recording in a bytea, ms; options: start_time, end_time, channel, threshold, min_speech, min_silence, pad, on_error';

CREATE FUNCTION ai_audio_vad(source bytea, options jsonb, OUT start_time integer, OUT end_time integer) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_vad_wrapper';
COMMENT ON FUNCTION ai_audio_vad(bytea, jsonb) IS
  'when somebody speaks in the recording in a bytea, ms; options: start_time, end_time, channel, threshold, min_speech, min_silence, pad, on_error';
-- COST: one call works for a fraction of a second to minutes.
-- ai_audio_diarize may read a temporary table (option library), which parallel workers cannot.

CREATE FUNCTION ai_audio_diarize(source text,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT overlap boolean, OUT confidence real,
    OUT embedding vector, OUT name text) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_diarize_wrapper';
COMMENT ON FUNCTION ai_audio_diarize(text) IS
  'who speaks when in the recording in a file or URL, a row per turn, times in ms';

CREATE FUNCTION ai_audio_diarize(source text, options text,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT overlap boolean, OUT confidence real,
    OUT embedding vector, OUT name text) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_diarize_wrapper';
COMMENT ON FUNCTION ai_audio_diarize(text, text) IS
  'who speaks when in the recording in a file or URL, a row per turn, times in ms; options: speaker_count, min_speakers, max_speakers, exclusive, merge_gap, min_turn, start_time, end_time, channel (''mix'', ''each'' or a number), on_error, library';

CREATE FUNCTION ai_audio_diarize(source text, options jsonb,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT overlap boolean, OUT confidence real,
    OUT embedding vector, OUT name text) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_diarize_wrapper';
COMMENT ON FUNCTION ai_audio_diarize(text, jsonb) IS
  'who speaks when in the recording in a file or URL, a row per turn, times in ms; options: speaker_count, min_speakers, max_speakers, exclusive, merge_gap, min_turn, start_time, end_time, channel (''mix'', ''each'' or a number), on_error, library';

CREATE FUNCTION ai_audio_diarize(source bytea,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT overlap boolean, OUT confidence real,
    OUT embedding vector, OUT name text) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_diarize_wrapper';
COMMENT ON FUNCTION ai_audio_diarize(bytea) IS
  'who speaks when in the recording in a bytea, a row per turn, times in ms';

CREATE FUNCTION ai_audio_diarize(source bytea, options text,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT overlap boolean, OUT confidence real,
    OUT embedding vector, OUT name text) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_diarize_wrapper';
COMMENT ON FUNCTION ai_audio_diarize(bytea, text) IS
  'who speaks when in the recording in a bytea, a row per turn, times in ms; options: speaker_count, min_speakers, max_speakers, exclusive, merge_gap, min_turn, start_time, end_time, channel (''mix'', ''each'' or a number), on_error, library';

CREATE FUNCTION ai_audio_diarize(source bytea, options jsonb,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT overlap boolean, OUT confidence real,
    OUT embedding vector, OUT name text) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_diarize_wrapper';
COMMENT ON FUNCTION ai_audio_diarize(bytea, jsonb) IS
  'who speaks when in the recording in a bytea, a row per turn, times in ms; options: speaker_count, min_speakers, max_speakers, exclusive, merge_gap, min_turn, start_time, end_time, channel (''mix'', ''each'' or a number), on_error, library';

CREATE FUNCTION ai_audio_segments(source text,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT clip bytea) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_segments_wrapper';
COMMENT ON FUNCTION ai_audio_segments(text) IS
  'the turns of each speaker of the recording in a file or URL, cut out as 16 kHz mono WAV';

CREATE FUNCTION ai_audio_segments(source text, options text,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT clip bytea) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_segments_wrapper';
COMMENT ON FUNCTION ai_audio_segments(text, text) IS
  'the turns of each speaker of the recording in a file or URL, cut out as 16 kHz mono WAV; options: format (''wav'', ''flac''), joined, speaker_count, min_speakers, max_speakers, exclusive, merge_gap, min_turn, start_time, end_time, channel (''mix'', ''each'' or a number), on_error';

CREATE FUNCTION ai_audio_segments(source text, options jsonb,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT clip bytea) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_segments_wrapper';
COMMENT ON FUNCTION ai_audio_segments(text, jsonb) IS
  'the turns of each speaker of the recording in a file or URL, cut out as 16 kHz mono WAV; options: format (''wav'', ''flac''), joined, speaker_count, min_speakers, max_speakers, exclusive, merge_gap, min_turn, start_time, end_time, channel (''mix'', ''each'' or a number), on_error';

CREATE FUNCTION ai_audio_segments(source bytea,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT clip bytea) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_segments_wrapper';
COMMENT ON FUNCTION ai_audio_segments(bytea) IS
  'the turns of each speaker of the recording in a bytea, cut out as 16 kHz mono WAV';

CREATE FUNCTION ai_audio_segments(source bytea, options text,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT clip bytea) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_segments_wrapper';
COMMENT ON FUNCTION ai_audio_segments(bytea, text) IS
  'the turns of each speaker of the recording in a bytea, cut out as 16 kHz mono WAV; options: format (''wav'', ''flac''), joined, speaker_count, min_speakers, max_speakers, exclusive, merge_gap, min_turn, start_time, end_time, channel (''mix'', ''each'' or a number), on_error';

CREATE FUNCTION ai_audio_segments(source bytea, options jsonb,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT clip bytea) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_segments_wrapper';
COMMENT ON FUNCTION ai_audio_segments(bytea, jsonb) IS
  'the turns of each speaker of the recording in a bytea, cut out as 16 kHz mono WAV; options: format (''wav'', ''flac''), joined, speaker_count, min_speakers, max_speakers, exclusive, merge_gap, min_turn, start_time, end_time, channel (''mix'', ''each'' or a number), on_error';

CREATE FUNCTION ai_audio_extract(source text, start_time integer, end_time integer) RETURNS bytea
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000
  AS 'MODULE_PATHNAME', 'ai_audio_extract_wrapper';
COMMENT ON FUNCTION ai_audio_extract(text, integer, integer) IS
  'the part between two times, ms, of the recording in a file or URL, as 16 kHz mono WAV';

CREATE FUNCTION ai_audio_extract(source text, start_time integer, end_time integer, options text) RETURNS bytea
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000
  AS 'MODULE_PATHNAME', 'ai_audio_extract_wrapper';
COMMENT ON FUNCTION ai_audio_extract(text, integer, integer, text) IS
  'the part between two times, ms, of the recording in a file or URL, as 16 kHz mono WAV; options: format (''wav'', ''flac''), channel, on_error';

CREATE FUNCTION ai_audio_extract(source text, start_time integer, end_time integer, options jsonb) RETURNS bytea
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000
  AS 'MODULE_PATHNAME', 'ai_audio_extract_wrapper';
COMMENT ON FUNCTION ai_audio_extract(text, integer, integer, jsonb) IS
  'the part between two times, ms, of the recording in a file or URL, as 16 kHz mono WAV; options: format (''wav'', ''flac''), channel, on_error';

CREATE FUNCTION ai_audio_extract(source bytea, start_time integer, end_time integer) RETURNS bytea
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000
  AS 'MODULE_PATHNAME', 'ai_audio_extract_wrapper';
COMMENT ON FUNCTION ai_audio_extract(bytea, integer, integer) IS
  'the part between two times, ms, of the recording in a bytea, as 16 kHz mono WAV';

CREATE FUNCTION ai_audio_extract(source bytea, start_time integer, end_time integer, options text) RETURNS bytea
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000
  AS 'MODULE_PATHNAME', 'ai_audio_extract_wrapper';
COMMENT ON FUNCTION ai_audio_extract(bytea, integer, integer, text) IS
  'the part between two times, ms, of the recording in a bytea, as 16 kHz mono WAV; options: format (''wav'', ''flac''), channel, on_error';

CREATE FUNCTION ai_audio_extract(source bytea, start_time integer, end_time integer, options jsonb) RETURNS bytea
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000
  AS 'MODULE_PATHNAME', 'ai_audio_extract_wrapper';
COMMENT ON FUNCTION ai_audio_extract(bytea, integer, integer, jsonb) IS
  'the part between two times, ms, of the recording in a bytea, as 16 kHz mono WAV; options: format (''wav'', ''flac''), channel, on_error';
-- Same speaker or not.
CREATE FUNCTION ai_voice_verify(a vector, b vector,
    OUT same_speaker boolean, OUT probability float8, OUT similarity float8, OUT threshold float8)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10
  AS 'MODULE_PATHNAME', 'ai_voice_verify_wrapper';
COMMENT ON FUNCTION ai_voice_verify(vector, vector) IS
  'whether two voiceprints are of one speaker, and how probable that is';

CREATE FUNCTION ai_voice_verify(a vector, b vector, options text,
    OUT same_speaker boolean, OUT probability float8, OUT similarity float8, OUT threshold float8)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 20
  AS 'MODULE_PATHNAME', 'ai_voice_verify_wrapper';
COMMENT ON FUNCTION ai_voice_verify(vector, vector, text) IS
  'whether two voiceprints are of one speaker, with options: duration_a, duration_b, narrowband_a, narrowband_b, prior, calibration, model';

CREATE FUNCTION ai_voice_verify(a vector, b vector, options jsonb,
    OUT same_speaker boolean, OUT probability float8, OUT similarity float8, OUT threshold float8)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 20
  AS 'MODULE_PATHNAME', 'ai_voice_verify_wrapper';
COMMENT ON FUNCTION ai_voice_verify(vector, vector, jsonb) IS
  'whether two voiceprints are of one speaker, with options: duration_a, duration_b, narrowband_a, narrowband_b, prior, calibration, model';

CREATE FUNCTION ai_audio_verify(a text, b text,
    OUT same_speaker boolean, OUT probability float8, OUT similarity float8, OUT threshold float8)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 2000000
  AS 'MODULE_PATHNAME', 'ai_audio_verify_wrapper';
COMMENT ON FUNCTION ai_audio_verify(text, text) IS
  'whether the recordings in two files or URLs are of one speaker';

CREATE FUNCTION ai_audio_verify(a text, b text, options text,
    OUT same_speaker boolean, OUT probability float8, OUT similarity float8, OUT threshold float8)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 2000000
  AS 'MODULE_PATHNAME', 'ai_audio_verify_wrapper';
COMMENT ON FUNCTION ai_audio_verify(text, text, text) IS
  'whether the recordings in two files or URLs are of one speaker, with options: prior, calibration, model, channel, on_error';

CREATE FUNCTION ai_audio_verify(a text, b text, options jsonb,
    OUT same_speaker boolean, OUT probability float8, OUT similarity float8, OUT threshold float8)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 2000000
  AS 'MODULE_PATHNAME', 'ai_audio_verify_wrapper';
COMMENT ON FUNCTION ai_audio_verify(text, text, jsonb) IS
  'whether the recordings in two files or URLs are of one speaker, with options: prior, calibration, model, channel, on_error';

CREATE FUNCTION ai_audio_verify(a bytea, b bytea,
    OUT same_speaker boolean, OUT probability float8, OUT similarity float8, OUT threshold float8)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 2000000
  AS 'MODULE_PATHNAME', 'ai_audio_verify_wrapper';
COMMENT ON FUNCTION ai_audio_verify(bytea, bytea) IS
  'whether the recordings in two bytea values are of one speaker';

CREATE FUNCTION ai_audio_verify(a bytea, b bytea, options text,
    OUT same_speaker boolean, OUT probability float8, OUT similarity float8, OUT threshold float8)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 2000000
  AS 'MODULE_PATHNAME', 'ai_audio_verify_wrapper';
COMMENT ON FUNCTION ai_audio_verify(bytea, bytea, text) IS
  'whether the recordings in two bytea values are of one speaker, with options: prior, calibration, model, channel, on_error';

CREATE FUNCTION ai_audio_verify(a bytea, b bytea, options jsonb,
    OUT same_speaker boolean, OUT probability float8, OUT similarity float8, OUT threshold float8)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 2000000
  AS 'MODULE_PATHNAME', 'ai_audio_verify_wrapper';
COMMENT ON FUNCTION ai_audio_verify(bytea, bytea, jsonb) IS
  'whether the recordings in two bytea values are of one speaker, with options: prior, calibration, model, channel, on_error';

-- Calibrations of the user's own. Everyone may use them; who may fit them is for the administrator to say:
-- GRANT INSERT, UPDATE ON ai_audio.calibrations TO ...
CREATE TABLE ai_audio.calibrations (
  name text PRIMARY KEY,
  score float8 NOT NULL,
  score_shortness float8 NOT NULL,
  intercept float8 NOT NULL,
  shortness float8 NOT NULL,
  pairs bigint NOT NULL,
  same_pairs bigint NOT NULL,
  eer float8 NOT NULL,
  cllr float8 NOT NULL,
  fitted_by name NOT NULL DEFAULT current_user,
  fitted_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ai_audio.calibrations IS
  'calibrations fitted with ai_voice_calibrate, for option "calibration"; to fit one takes INSERT and UPDATE on this table';
GRANT SELECT ON ai_audio.calibrations TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('ai_audio.calibrations', '');

CREATE FUNCTION ai_voice_calibrate(query text, name text DEFAULT 'custom',
    OUT calibration text, OUT pairs bigint, OUT same_pairs bigint, OUT eer float8, OUT cllr_before float8,
    OUT cllr_after float8, OUT threshold float8)
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE COST 100000
  AS 'MODULE_PATHNAME', 'ai_voice_calibrate_wrapper';
COMMENT ON FUNCTION ai_voice_calibrate(text, text) IS
  'fits probabilities to labelled pairs and keeps them under a name; the query returns same_speaker, and similarity or voiceprints a and b, and maybe duration_a and duration_b';

-- One voiceprint of several recordings.
CREATE FUNCTION ai_audio.profile_add(internal, vector) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE COST 2
  AS 'MODULE_PATHNAME', 'ai_voice_profile_add_wrapper';
COMMENT ON FUNCTION ai_audio.profile_add(internal, vector) IS 'part of ai_voice_profile';

CREATE FUNCTION ai_audio.profile_add(internal, vector, float8) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE COST 2
  AS 'MODULE_PATHNAME', 'ai_voice_profile_add_wrapper';
COMMENT ON FUNCTION ai_audio.profile_add(internal, vector, float8) IS 'part of ai_voice_profile';

CREATE FUNCTION ai_audio.profile_remove(internal, vector) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE COST 2
  AS 'MODULE_PATHNAME', 'ai_voice_profile_remove_wrapper';
COMMENT ON FUNCTION ai_audio.profile_remove(internal, vector) IS 'part of ai_voice_profile';

CREATE FUNCTION ai_audio.profile_remove(internal, vector, float8) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE COST 2
  AS 'MODULE_PATHNAME', 'ai_voice_profile_remove_wrapper';
COMMENT ON FUNCTION ai_audio.profile_remove(internal, vector, float8) IS 'part of ai_voice_profile';

CREATE FUNCTION ai_audio.profile_combine(internal, internal) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE COST 2
  AS 'MODULE_PATHNAME', 'ai_voice_profile_combine_wrapper';
COMMENT ON FUNCTION ai_audio.profile_combine(internal, internal) IS 'part of ai_voice_profile';

CREATE FUNCTION ai_audio.profile_serialize(internal) RETURNS bytea
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 2
  AS 'MODULE_PATHNAME', 'ai_voice_profile_serialize_wrapper';
COMMENT ON FUNCTION ai_audio.profile_serialize(internal) IS 'part of ai_voice_profile';

CREATE FUNCTION ai_audio.profile_deserialize(bytea, internal) RETURNS internal
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 2
  AS 'MODULE_PATHNAME', 'ai_voice_profile_deserialize_wrapper';
COMMENT ON FUNCTION ai_audio.profile_deserialize(bytea, internal) IS 'part of ai_voice_profile';

CREATE FUNCTION ai_audio.profile_final(internal) RETURNS vector
  LANGUAGE c IMMUTABLE PARALLEL SAFE COST 2
  AS 'MODULE_PATHNAME', 'ai_voice_profile_final_wrapper';
COMMENT ON FUNCTION ai_audio.profile_final(internal) IS 'part of ai_voice_profile';

CREATE AGGREGATE ai_voice_profile(vector) (
  SFUNC = ai_audio.profile_add, STYPE = internal, SSPACE = 4096, FINALFUNC = ai_audio.profile_final,
  COMBINEFUNC = ai_audio.profile_combine, SERIALFUNC = ai_audio.profile_serialize,
  DESERIALFUNC = ai_audio.profile_deserialize,
  MSFUNC = ai_audio.profile_add, MINVFUNC = ai_audio.profile_remove, MSTYPE = internal, MSSPACE = 4096,
  MFINALFUNC = ai_audio.profile_final, PARALLEL = SAFE
);
COMMENT ON AGGREGATE ai_voice_profile(vector) IS
  'one voiceprint of several recordings of a speaker: the mean of the voiceprints at norm 1, at norm 1';

CREATE AGGREGATE ai_voice_profile(voiceprint vector, weight float8) (
  SFUNC = ai_audio.profile_add, STYPE = internal, SSPACE = 4096, FINALFUNC = ai_audio.profile_final,
  COMBINEFUNC = ai_audio.profile_combine, SERIALFUNC = ai_audio.profile_serialize,
  DESERIALFUNC = ai_audio.profile_deserialize,
  MSFUNC = ai_audio.profile_add, MINVFUNC = ai_audio.profile_remove, MSTYPE = internal, MSSPACE = 4096,
  MFINALFUNC = ai_audio.profile_final, PARALLEL = SAFE
);
COMMENT ON AGGREGATE ai_voice_profile(vector, float8) IS
  'one voiceprint of several recordings of a speaker, weighted, for instance by seconds of speech';

-- Whose voice.
CREATE FUNCTION ai_voice_identify(probe vector, library regclass,
    OUT name text, OUT probability float8, OUT similarity float8, OUT margin float8, OUT nearest text,
    OUT runner_up text, OUT score float8)
  LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10000
  AS 'MODULE_PATHNAME', 'ai_voice_identify_wrapper';
COMMENT ON FUNCTION ai_voice_identify(vector, regclass) IS
  'the name in a table of voiceprints whose voice this is, by its ANN index; NULL if it is nobody''s';

CREATE FUNCTION ai_voice_identify(probe vector, library regclass, options text,
    OUT name text, OUT probability float8, OUT similarity float8, OUT margin float8, OUT nearest text,
    OUT runner_up text, OUT score float8)
  LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10000
  AS 'MODULE_PATHNAME', 'ai_voice_identify_wrapper';
COMMENT ON FUNCTION ai_voice_identify(vector, regclass, text) IS
  'the name in a table whose voice this is, with options: name, voiceprint, duration, library_duration, candidates, prior, min_probability, normalize, calibration, model';

CREATE FUNCTION ai_voice_identify(probe vector, library regclass, options jsonb,
    OUT name text, OUT probability float8, OUT similarity float8, OUT margin float8, OUT nearest text,
    OUT runner_up text, OUT score float8)
  LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10000
  AS 'MODULE_PATHNAME', 'ai_voice_identify_wrapper';
COMMENT ON FUNCTION ai_voice_identify(vector, regclass, jsonb) IS
  'the name in a table whose voice this is, with options: name, voiceprint, duration, library_duration, candidates, prior, min_probability, normalize, calibration, model';

-- Which voiceprints are of one speaker.
CREATE FUNCTION ai_voice_cluster(voiceprint vector) RETURNS integer
  LANGUAGE c IMMUTABLE WINDOW PARALLEL SAFE COST 1000
  AS 'MODULE_PATHNAME', 'ai_voice_cluster';
COMMENT ON FUNCTION ai_voice_cluster(vector) IS
  'window function: groups the voiceprints of a partition by speaker, numbered from 1';

CREATE FUNCTION ai_voice_cluster(voiceprint vector, options text) RETURNS integer
  LANGUAGE c IMMUTABLE WINDOW PARALLEL SAFE COST 1000
  AS 'MODULE_PATHNAME', 'ai_voice_cluster';
COMMENT ON FUNCTION ai_voice_cluster(vector, text) IS
  'window function: groups the voiceprints of a partition by speaker, with options: threshold, min_size, clusters';

CREATE FUNCTION ai_voice_cluster(voiceprint vector, options jsonb) RETURNS integer
  LANGUAGE c IMMUTABLE WINDOW PARALLEL SAFE COST 1000
  AS 'MODULE_PATHNAME', 'ai_voice_cluster';
COMMENT ON FUNCTION ai_voice_cluster(vector, jsonb) IS
  'window function: groups the voiceprints of a partition by speaker, with options: threshold, min_size, clusters';

-- Fit to enrol?
CREATE FUNCTION ai_audio_quality(source text,
    OUT speech_seconds float8, OUT duration_seconds float8, OUT snr_db float8, OUT clipping float8,
    OUT bandwidth_hz integer, OUT fit_to_enrol boolean, OUT reason text)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 200000
  AS 'MODULE_PATHNAME', 'ai_audio_quality_wrapper';
COMMENT ON FUNCTION ai_audio_quality(text) IS
  'speech, noise, clipping and bandwidth of the recording in a file or URL, and whether it is fit to enrol a voice';

CREATE FUNCTION ai_audio_quality(source text, options text,
    OUT speech_seconds float8, OUT duration_seconds float8, OUT snr_db float8, OUT clipping float8,
    OUT bandwidth_hz integer, OUT fit_to_enrol boolean, OUT reason text)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 200000
  AS 'MODULE_PATHNAME', 'ai_audio_quality_wrapper';
COMMENT ON FUNCTION ai_audio_quality(text, text) IS
  'speech, noise, clipping and bandwidth of a recording, with options: start_time, end_time, channel, on_error';

CREATE FUNCTION ai_audio_quality(source text, options jsonb,
    OUT speech_seconds float8, OUT duration_seconds float8, OUT snr_db float8, OUT clipping float8,
    OUT bandwidth_hz integer, OUT fit_to_enrol boolean, OUT reason text)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 200000
  AS 'MODULE_PATHNAME', 'ai_audio_quality_wrapper';
COMMENT ON FUNCTION ai_audio_quality(text, jsonb) IS
  'speech, noise, clipping and bandwidth of a recording, with options: start_time, end_time, channel, on_error';

CREATE FUNCTION ai_audio_quality(source bytea,
    OUT speech_seconds float8, OUT duration_seconds float8, OUT snr_db float8, OUT clipping float8,
    OUT bandwidth_hz integer, OUT fit_to_enrol boolean, OUT reason text)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 200000
  AS 'MODULE_PATHNAME', 'ai_audio_quality_wrapper';
COMMENT ON FUNCTION ai_audio_quality(bytea) IS
  'speech, noise, clipping and bandwidth of the recording in a bytea, and whether it is fit to enrol a voice';

CREATE FUNCTION ai_audio_quality(source bytea, options text,
    OUT speech_seconds float8, OUT duration_seconds float8, OUT snr_db float8, OUT clipping float8,
    OUT bandwidth_hz integer, OUT fit_to_enrol boolean, OUT reason text)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 200000
  AS 'MODULE_PATHNAME', 'ai_audio_quality_wrapper';
COMMENT ON FUNCTION ai_audio_quality(bytea, text) IS
  'speech, noise, clipping and bandwidth of a recording, with options: start_time, end_time, channel, on_error';

CREATE FUNCTION ai_audio_quality(source bytea, options jsonb,
    OUT speech_seconds float8, OUT duration_seconds float8, OUT snr_db float8, OUT clipping float8,
    OUT bandwidth_hz integer, OUT fit_to_enrol boolean, OUT reason text)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 200000
  AS 'MODULE_PATHNAME', 'ai_audio_quality_wrapper';
COMMENT ON FUNCTION ai_audio_quality(bytea, jsonb) IS
  'speech, noise, clipping and bandwidth of a recording, with options: start_time, end_time, channel, on_error';
