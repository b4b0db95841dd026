SELECT ai_audio.declare('ai_audio_info', 'source', '',
  'RETURNS jsonb LANGUAGE c STABLE PARALLEL SAFE COST 100000 SUPPORT ai_audio.once_support');
