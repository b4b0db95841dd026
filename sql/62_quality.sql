-- Fit to enrol?
SELECT ai_audio.declare('ai_audio_quality', 'source',
  'OUT speech_seconds float8, OUT duration_seconds float8, OUT snr_db float8, OUT clipping float8,
   OUT bandwidth_hz integer, OUT fit_to_enrol boolean, OUT reason text, OUT speakers integer',
  'LANGUAGE c STABLE PARALLEL SAFE COST 400000');
