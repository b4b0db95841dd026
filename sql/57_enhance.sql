-- Recordings with less noise.
SELECT ai_audio.declare('ai_audio_enhance', 'source', '',
  'RETURNS bytea LANGUAGE c STABLE PARALLEL SAFE COST 5000000 SUPPORT ai_audio.once_support');
