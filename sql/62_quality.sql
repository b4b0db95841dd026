-- Fit to enrol?
CREATE FUNCTION ai_audio_quality(source text,
    OUT speech_seconds float8, OUT duration_seconds float8, OUT snr_db float8, OUT clipping float8,
    OUT bandwidth_hz integer, OUT fit_to_enrol boolean, OUT reason text, OUT speakers integer)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 400000
  AS 'MODULE_PATHNAME', 'ai_audio_quality_wrapper';
COMMENT ON FUNCTION ai_audio_quality(text) IS
  'speech, noise, clipping, bandwidth and number of speakers of the recording in a file or URL, and whether it is fit to enrol a voice';

CREATE FUNCTION ai_audio_quality(source text, options text,
    OUT speech_seconds float8, OUT duration_seconds float8, OUT snr_db float8, OUT clipping float8,
    OUT bandwidth_hz integer, OUT fit_to_enrol boolean, OUT reason text, OUT speakers integer)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 400000
  AS 'MODULE_PATHNAME', 'ai_audio_quality_wrapper';
COMMENT ON FUNCTION ai_audio_quality(text, text) IS
  'speech, noise, clipping, bandwidth and number of speakers of a recording, with options: start_time, end_time, channel, on_error';

CREATE FUNCTION ai_audio_quality(source text, options jsonb,
    OUT speech_seconds float8, OUT duration_seconds float8, OUT snr_db float8, OUT clipping float8,
    OUT bandwidth_hz integer, OUT fit_to_enrol boolean, OUT reason text, OUT speakers integer)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 400000
  AS 'MODULE_PATHNAME', 'ai_audio_quality_wrapper';
COMMENT ON FUNCTION ai_audio_quality(text, jsonb) IS
  'speech, noise, clipping, bandwidth and number of speakers of a recording, with options: start_time, end_time, channel, on_error';

CREATE FUNCTION ai_audio_quality(source bytea,
    OUT speech_seconds float8, OUT duration_seconds float8, OUT snr_db float8, OUT clipping float8,
    OUT bandwidth_hz integer, OUT fit_to_enrol boolean, OUT reason text, OUT speakers integer)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 400000
  AS 'MODULE_PATHNAME', 'ai_audio_quality_wrapper';
COMMENT ON FUNCTION ai_audio_quality(bytea) IS
  'speech, noise, clipping, bandwidth and number of speakers of the recording in a bytea, and whether it is fit to enrol a voice';

CREATE FUNCTION ai_audio_quality(source bytea, options text,
    OUT speech_seconds float8, OUT duration_seconds float8, OUT snr_db float8, OUT clipping float8,
    OUT bandwidth_hz integer, OUT fit_to_enrol boolean, OUT reason text, OUT speakers integer)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 400000
  AS 'MODULE_PATHNAME', 'ai_audio_quality_wrapper';
COMMENT ON FUNCTION ai_audio_quality(bytea, text) IS
  'speech, noise, clipping, bandwidth and number of speakers of a recording, with options: start_time, end_time, channel, on_error';

CREATE FUNCTION ai_audio_quality(source bytea, options jsonb,
    OUT speech_seconds float8, OUT duration_seconds float8, OUT snr_db float8, OUT clipping float8,
    OUT bandwidth_hz integer, OUT fit_to_enrol boolean, OUT reason text, OUT speakers integer)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 400000
  AS 'MODULE_PATHNAME', 'ai_audio_quality_wrapper';
COMMENT ON FUNCTION ai_audio_quality(bytea, jsonb) IS
  'speech, noise, clipping, bandwidth and number of speakers of a recording, with options: start_time, end_time, channel, on_error';
