-- A language model judges what no pattern can
-- After driver.sql: psql -v ride=/recordings/ride.wav -v llm_url=http://127.0.0.1:8000/v1 -v llm_model=qwen -f driver-llm.sql
-- What it quotes must stand in the transcript; else the row is `unsupported`.
DROP SERVER IF EXISTS judge CASCADE;
CREATE SERVER judge FOREIGN DATA WRAPPER ai_audio_llm OPTIONS (url :'llm_url', model :'llm_model', max_tokens '500');
SELECT rule, violated, unsupported, start_time, quote, reason
  FROM ai_audio_inspect(:'ride', 'Speakers greet each other.', '{"server": "judge", "on_error": "null"}'::jsonb);
