-- Fit to enrol?
CREATE FUNCTION ai_audio_quality(source text,
    OUT speech_seconds float8, OUT duration_seconds float8, OUT snr_db float8, OUT clipping float8,
    OUT bandwidth_hz integer, OUT fit_to_enrol boolean, OUT reason text, OUT speakers integer)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 400000
  AS 'MODULE_PATHNAME', 'ai_audio_quality_wrapper';

CREATE FUNCTION ai_audio_quality(source text, options text,
    OUT speech_seconds float8, OUT duration_seconds float8, OUT snr_db float8, OUT clipping float8,
    OUT bandwidth_hz integer, OUT fit_to_enrol boolean, OUT reason text, OUT speakers integer)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 400000
  AS 'MODULE_PATHNAME', 'ai_audio_quality_wrapper';

CREATE FUNCTION ai_audio_quality(source text, options jsonb,
    OUT speech_seconds float8, OUT duration_seconds float8, OUT snr_db float8, OUT clipping float8,
    OUT bandwidth_hz integer, OUT fit_to_enrol boolean, OUT reason text, OUT speakers integer)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 400000
  AS 'MODULE_PATHNAME', 'ai_audio_quality_wrapper';

CREATE FUNCTION ai_audio_quality(source bytea,
    OUT speech_seconds float8, OUT duration_seconds float8, OUT snr_db float8, OUT clipping float8,
    OUT bandwidth_hz integer, OUT fit_to_enrol boolean, OUT reason text, OUT speakers integer)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 400000
  AS 'MODULE_PATHNAME', 'ai_audio_quality_wrapper';

CREATE FUNCTION ai_audio_quality(source bytea, options text,
    OUT speech_seconds float8, OUT duration_seconds float8, OUT snr_db float8, OUT clipping float8,
    OUT bandwidth_hz integer, OUT fit_to_enrol boolean, OUT reason text, OUT speakers integer)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 400000
  AS 'MODULE_PATHNAME', 'ai_audio_quality_wrapper';

CREATE FUNCTION ai_audio_quality(source bytea, options jsonb,
    OUT speech_seconds float8, OUT duration_seconds float8, OUT snr_db float8, OUT clipping float8,
    OUT bandwidth_hz integer, OUT fit_to_enrol boolean, OUT reason text, OUT speakers integer)
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 400000
  AS 'MODULE_PATHNAME', 'ai_audio_quality_wrapper';
