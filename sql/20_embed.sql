-- COST: one call works for tens of milliseconds, a million times an operator's cost.
SELECT ai_audio.declare('ai_audio_embed', 'model, source', '',
  'RETURNS vector LANGUAGE c STABLE PARALLEL SAFE COST 1000000 SUPPORT ai_audio.once_support');
-- Of each recording in an array, so many at a time as there are threads. COST: that of ten. VOLATILE, since the planner runs
-- stable functions to estimate how many rows unnest(...) gives, and runs them again for each use of what a subquery computes.
SELECT ai_audio.declare('ai_audio_embed', 'model, sources', '',
  'RETURNS vector[] LANGUAGE c VOLATILE PARALLEL SAFE COST 10000000 SUPPORT ai_audio.once_support');
