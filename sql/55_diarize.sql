-- COST: one call works for a fraction of a second to minutes.
-- What takes the option library may read a temporary table, which parallel workers cannot.
SELECT ai_audio.declare('ai_audio_diarize', 'source',
  'OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT overlap boolean, OUT confidence real,
   OUT embedding vector, OUT name text, OUT seconds float8',
  'RETURNS SETOF record LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000000 ROWS 100');

SELECT ai_audio.declare('ai_audio_segments', 'source',
  'OUT speaker_id integer, OUT start_time integer, OUT end_time integer, OUT clip bytea, OUT name text',
  'RETURNS SETOF record LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000000 ROWS 100');

SELECT ai_audio.declare('ai_audio_extract', 'source, times', '',
  'RETURNS bytea LANGUAGE c STABLE PARALLEL SAFE COST 100000 SUPPORT ai_audio.once_support');
