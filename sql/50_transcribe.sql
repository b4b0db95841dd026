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
