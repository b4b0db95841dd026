-- Recordings with less noise.

CREATE FUNCTION ai_audio_enhance(source text) RETURNS bytea
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 5000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_enhance_wrapper';
COMMENT ON FUNCTION ai_audio_enhance(text) IS
  'the recording in a file or URL with less noise, as 16 kHz mono WAV';

CREATE FUNCTION ai_audio_enhance(source text, options text) RETURNS bytea
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 5000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_enhance_wrapper';
COMMENT ON FUNCTION ai_audio_enhance(text, text) IS
  'the recording in a file or URL with less noise, as 16 kHz mono WAV; options: model, format (''wav'', ''flac''), strength (dB that noise is lowered by at most), start_time, end_time, channel (''mix'' or a number), on_error';

CREATE FUNCTION ai_audio_enhance(source text, options jsonb) RETURNS bytea
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 5000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_enhance_wrapper';
COMMENT ON FUNCTION ai_audio_enhance(text, jsonb) IS
  'the recording in a file or URL with less noise, as 16 kHz mono WAV; options: model, format (''wav'', ''flac''), strength (dB that noise is lowered by at most), start_time, end_time, channel (''mix'' or a number), on_error';

CREATE FUNCTION ai_audio_enhance(source bytea) RETURNS bytea
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 5000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_enhance_wrapper';
COMMENT ON FUNCTION ai_audio_enhance(bytea) IS
  'the recording in a bytea with less noise, as 16 kHz mono WAV';

CREATE FUNCTION ai_audio_enhance(source bytea, options text) RETURNS bytea
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 5000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_enhance_wrapper';
COMMENT ON FUNCTION ai_audio_enhance(bytea, text) IS
  'the recording in a bytea with less noise, as 16 kHz mono WAV; options: model, format (''wav'', ''flac''), strength (dB that noise is lowered by at most), start_time, end_time, channel (''mix'' or a number), on_error';

CREATE FUNCTION ai_audio_enhance(source bytea, options jsonb) RETURNS bytea
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 5000000
  SUPPORT ai_audio.once_support
  AS 'MODULE_PATHNAME', 'ai_audio_enhance_wrapper';
COMMENT ON FUNCTION ai_audio_enhance(bytea, jsonb) IS
  'the recording in a bytea with less noise, as 16 kHz mono WAV; options: model, format (''wav'', ''flac''), strength (dB that noise is lowered by at most), start_time, end_time, channel (''mix'' or a number), on_error';
