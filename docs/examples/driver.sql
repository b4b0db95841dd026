-- The driver's words, out of a conversation in a car.
--
-- psql -v ride=/recordings/ride.wav -v driver=/recordings/diane-1.wav -v other=/recordings/allison-1.wav -f driver.sql
--
-- `ride` is a recording with several people, `driver` one of the driver alone, `other` one of another driver.

CREATE TABLE IF NOT EXISTS drivers (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  voiceprint vector(192) NOT NULL);

-- Enrol, once per driver.
INSERT INTO drivers (name, voiceprint) VALUES
  ('Diane', ai_audio_embed(:'driver')),
  ('Allison', ai_audio_embed(:'other'));

-- What did Diane say, and when (milliseconds)? The rest of the conversation stays out.
SELECT said.start_time, said.end_time, said.text
FROM ai_audio_sentences(:'ride', '{"diarization": true}'::jsonb) AS said
WHERE said.speaker_id IN (
  SELECT speaker_id FROM ai_audio_diarize(:'ride', '{"library": "drivers"}'::jsonb) WHERE name = 'Diane')
ORDER BY said.start_time;
