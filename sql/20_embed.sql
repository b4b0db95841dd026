-- COST: one call works for tens of milliseconds, a million times an operator's cost.
SELECT ai_audio.declare('ai_audio_embed', 'model, source', '',
  'RETURNS vector LANGUAGE c STABLE PARALLEL SAFE COST 1000000 SUPPORT ai_audio.once_support');
