-- COST: one call works for a fraction of a second to minutes.
-- ai_audio_diarize may read a temporary table (option library), which parallel workers cannot.

CREATE FUNCTION ai_audio_diarize(source text,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT overlap boolean, OUT confidence real,
    OUT embedding vector, OUT name text) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_diarize_wrapper';

CREATE FUNCTION ai_audio_diarize(source text, options text,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT overlap boolean, OUT confidence real,
    OUT embedding vector, OUT name text) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_diarize_wrapper';

CREATE FUNCTION ai_audio_diarize(source text, options jsonb,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT overlap boolean, OUT confidence real,
    OUT embedding vector, OUT name text) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_diarize_wrapper';

CREATE FUNCTION ai_audio_diarize(source bytea,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT overlap boolean, OUT confidence real,
    OUT embedding vector, OUT name text) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_diarize_wrapper';

CREATE FUNCTION ai_audio_diarize(source bytea, options text,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT overlap boolean, OUT confidence real,
    OUT embedding vector, OUT name text) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_diarize_wrapper';

CREATE FUNCTION ai_audio_diarize(source bytea, options jsonb,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT overlap boolean, OUT confidence real,
    OUT embedding vector, OUT name text) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_diarize_wrapper';

CREATE FUNCTION ai_audio_segments(source text,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT clip bytea) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_segments_wrapper';

CREATE FUNCTION ai_audio_segments(source text, options text,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT clip bytea) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_segments_wrapper';

CREATE FUNCTION ai_audio_segments(source text, options jsonb,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT clip bytea) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_segments_wrapper';

CREATE FUNCTION ai_audio_segments(source bytea,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT clip bytea) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_segments_wrapper';

CREATE FUNCTION ai_audio_segments(source bytea, options text,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT clip bytea) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_segments_wrapper';

CREATE FUNCTION ai_audio_segments(source bytea, options jsonb,
    OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT clip bytea) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 ROWS 100
  AS 'MODULE_PATHNAME', 'ai_audio_segments_wrapper';

CREATE FUNCTION ai_audio_extract(source text, start_time integer, end_time integer) RETURNS bytea
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_extract_wrapper';
COMMENT ON FUNCTION ai_audio_extract(text, integer, integer) IS
  'the part between two times, ms, of the recording in a file or URL, as 16 kHz mono WAV';

CREATE FUNCTION ai_audio_extract(source text, start_time integer, end_time integer, options text) RETURNS bytea
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_extract_wrapper';
COMMENT ON FUNCTION ai_audio_extract(text, integer, integer, text) IS
  'the part between two times, ms, of the recording in a file or URL, as 16 kHz mono WAV; options: format (''wav'', ''flac''), channel, on_error';

CREATE FUNCTION ai_audio_extract(source text, start_time integer, end_time integer, options jsonb) RETURNS bytea
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_extract_wrapper';
COMMENT ON FUNCTION ai_audio_extract(text, integer, integer, jsonb) IS
  'the part between two times, ms, of the recording in a file or URL, as 16 kHz mono WAV; options: format (''wav'', ''flac''), channel, on_error';

CREATE FUNCTION ai_audio_extract(source bytea, start_time integer, end_time integer) RETURNS bytea
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_extract_wrapper';
COMMENT ON FUNCTION ai_audio_extract(bytea, integer, integer) IS
  'the part between two times, ms, of the recording in a bytea, as 16 kHz mono WAV';

CREATE FUNCTION ai_audio_extract(source bytea, start_time integer, end_time integer, options text) RETURNS bytea
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_extract_wrapper';
COMMENT ON FUNCTION ai_audio_extract(bytea, integer, integer, text) IS
  'the part between two times, ms, of the recording in a bytea, as 16 kHz mono WAV; options: format (''wav'', ''flac''), channel, on_error';

CREATE FUNCTION ai_audio_extract(source bytea, start_time integer, end_time integer, options jsonb) RETURNS bytea
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_extract_wrapper';
COMMENT ON FUNCTION ai_audio_extract(bytea, integer, integer, jsonb) IS
  'the part between two times, ms, of the recording in a bytea, as 16 kHz mono WAV; options: format (''wav'', ''flac''), channel, on_error';
