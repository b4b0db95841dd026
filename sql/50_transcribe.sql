-- COST: one call works for seconds, tens of millions of times an operator's cost.

CREATE FUNCTION ai_audio_transcribe(source text) RETURNS text
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_transcribe_wrapper';

CREATE FUNCTION ai_audio_transcribe(source bytea) RETURNS text
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_transcribe_wrapper';

CREATE FUNCTION ai_audio_transcribe(model text, source text) RETURNS text
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_transcribe_wrapper';

CREATE FUNCTION ai_audio_transcribe(model text, source bytea) RETURNS text
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_transcribe_wrapper';

CREATE FUNCTION ai_audio_transcribe(model text, source text, options text) RETURNS text
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_transcribe_wrapper';

CREATE FUNCTION ai_audio_transcribe(model text, source text, options jsonb) RETURNS text
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_transcribe_wrapper';

CREATE FUNCTION ai_audio_transcribe(model text, source bytea, options text) RETURNS text
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_transcribe_wrapper';

CREATE FUNCTION ai_audio_transcribe(model text, source bytea, options jsonb) RETURNS text
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_transcribe_wrapper';

CREATE FUNCTION ai_audio_sentences(source text, model text DEFAULT NULL, options text DEFAULT NULL,
    OUT channel_id integer, OUT sentence_id integer, OUT speaker_id integer,
    OUT start_time integer, OUT end_time integer, OUT text text, OUT language text, OUT confidence real, OUT words jsonb) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_sentences_wrapper';

CREATE FUNCTION ai_audio_sentences(source text, model text, options jsonb,
    OUT channel_id integer, OUT sentence_id integer, OUT speaker_id integer,
    OUT start_time integer, OUT end_time integer, OUT text text, OUT language text, OUT confidence real, OUT words jsonb) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_sentences_wrapper';

CREATE FUNCTION ai_audio_sentences(source text, options jsonb,
    OUT channel_id integer, OUT sentence_id integer, OUT speaker_id integer,
    OUT start_time integer, OUT end_time integer, OUT text text, OUT language text, OUT confidence real, OUT words jsonb) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_sentences_wrapper';

CREATE FUNCTION ai_audio_sentences(source bytea, model text DEFAULT NULL, options text DEFAULT NULL,
    OUT channel_id integer, OUT sentence_id integer, OUT speaker_id integer,
    OUT start_time integer, OUT end_time integer, OUT text text, OUT language text, OUT confidence real, OUT words jsonb) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_sentences_wrapper';

CREATE FUNCTION ai_audio_sentences(source bytea, model text, options jsonb,
    OUT channel_id integer, OUT sentence_id integer, OUT speaker_id integer,
    OUT start_time integer, OUT end_time integer, OUT text text, OUT language text, OUT confidence real, OUT words jsonb) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_sentences_wrapper';

CREATE FUNCTION ai_audio_sentences(source bytea, options jsonb,
    OUT channel_id integer, OUT sentence_id integer, OUT speaker_id integer,
    OUT start_time integer, OUT end_time integer, OUT text text, OUT language text, OUT confidence real, OUT words jsonb) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_sentences_wrapper';

CREATE FUNCTION ai_audio_detect_language(source text, model text DEFAULT NULL, options text DEFAULT NULL,
    OUT language text, OUT probability real) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 1000000 ROWS 1
  AS 'MODULE_PATHNAME', 'ai_audio_detect_language_wrapper';

CREATE FUNCTION ai_audio_detect_language(source text, model text, options jsonb,
    OUT language text, OUT probability real) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 1000000 ROWS 1
  AS 'MODULE_PATHNAME', 'ai_audio_detect_language_wrapper';

CREATE FUNCTION ai_audio_detect_language(source text, options jsonb,
    OUT language text, OUT probability real) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 1000000 ROWS 1
  AS 'MODULE_PATHNAME', 'ai_audio_detect_language_wrapper';

CREATE FUNCTION ai_audio_detect_language(source bytea, model text DEFAULT NULL, options text DEFAULT NULL,
    OUT language text, OUT probability real) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 1000000 ROWS 1
  AS 'MODULE_PATHNAME', 'ai_audio_detect_language_wrapper';

CREATE FUNCTION ai_audio_detect_language(source bytea, model text, options jsonb,
    OUT language text, OUT probability real) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 1000000 ROWS 1
  AS 'MODULE_PATHNAME', 'ai_audio_detect_language_wrapper';

CREATE FUNCTION ai_audio_detect_language(source bytea, options jsonb,
    OUT language text, OUT probability real) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 1000000 ROWS 1
  AS 'MODULE_PATHNAME', 'ai_audio_detect_language_wrapper';

CREATE FUNCTION ai_audio_vad(source text, OUT start_time integer, OUT end_time integer) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_vad_wrapper';

CREATE FUNCTION ai_audio_vad(source text, options text, OUT start_time integer, OUT end_time integer) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_vad_wrapper';

CREATE FUNCTION ai_audio_vad(source text, options jsonb, OUT start_time integer, OUT end_time integer) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_vad_wrapper';

CREATE FUNCTION ai_audio_vad(source bytea, OUT start_time integer, OUT end_time integer) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_vad_wrapper';

CREATE FUNCTION ai_audio_vad(source bytea, options text, OUT start_time integer, OUT end_time integer) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_vad_wrapper';

CREATE FUNCTION ai_audio_vad(source bytea, options jsonb, OUT start_time integer, OUT end_time integer) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_vad_wrapper';
