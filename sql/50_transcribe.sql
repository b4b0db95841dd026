-- COST: one call works for seconds, tens of millions of times an operator's cost.
-- What takes the option library may read a temporary table, which parallel workers cannot.
SELECT ai_audio.declare('ai_audio_transcribe', 'model, source', '',
  'RETURNS text LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000000 SUPPORT ai_audio.once_support');

SELECT ai_audio.declare('ai_audio_transcript', 'source, model', '',
  'RETURNS jsonb LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000000 SUPPORT ai_audio.once_support');

SELECT ai_audio.declare('ai_audio_sentences', 'source, model',
  'OUT channel_id integer, OUT sentence_id integer, OUT speaker_id integer, OUT start_time integer, OUT end_time integer,
   OUT text text, OUT language text, OUT confidence real, OUT words jsonb, OUT speaker_name text,
   OUT speaker_probability float8, OUT embedding vector',
  'RETURNS SETOF record LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000000 ROWS 100');

SELECT ai_audio.declare('ai_audio_detect_language', 'source, model', 'OUT language text, OUT probability real',
  'RETURNS SETOF record LANGUAGE c STABLE PARALLEL SAFE COST 1000000 ROWS 1');

SELECT ai_audio.declare('ai_audio_vad', 'source', 'OUT start_time integer, OUT end_time integer',
  'RETURNS SETOF record LANGUAGE c STABLE PARALLEL SAFE COST 100000 ROWS 100');
