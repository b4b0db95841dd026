-- Six steps to the driver's words
-- psql -v ride=/recordings/ride.wav -v driver=/recordings/diane-1.wav -v other=/recordings/allison-1.wav -f driver.sql
-- `ride` is a recording with several people, `driver` one of the driver alone, `other` one of another driver. The extension
-- is there (CREATE EXTENSION ai_audio CASCADE).
CREATE SCHEMA fleet;

-- 1. Enrol, once per driver
-- A voiceprint each, of a recording in which nobody else speaks.
CREATE TABLE fleet.drivers (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  voiceprint vector(192) NOT NULL);
INSERT INTO fleet.drivers (name, voiceprint) VALUES
  ('Diane', ai_audio_embed(:'driver')),
  ('Allison', ai_audio_embed(:'other'));

-- 2. Less noise, for people to listen to
-- At most 12 dB of it goes. The models below hear the recording as it is: they have learned with noise.
CREATE TABLE fleet.to_listen AS SELECT ai_audio_enhance(:'ride', '{"strength": 12}'::jsonb) AS recording;
SELECT ai_audio_info(recording) FROM fleet.to_listen;

-- 3. Who speaks when?
-- Milliseconds, a row per turn; speakers are numbered, and those in the library named.
CREATE TABLE fleet.turns AS
  SELECT speaker_id, start_time, end_time, name FROM ai_audio_diarize(:'ride', '{"library": "fleet.drivers"}'::jsonb);

-- 4. Which of them is a driver?
-- Nobody gets the name of the nearest voice only: who is in no library has none.
SELECT speaker_id, name, count(*) AS turns, sum(end_time - start_time) AS ms
  FROM fleet.turns GROUP BY speaker_id, name ORDER BY speaker_id;

-- 5. What did the driver say?
-- The rest of the conversation stays out.
SELECT start_time, end_time, text
  FROM ai_audio_sentences(:'ride', '{"library": "fleet.drivers"}'::jsonb)
  WHERE speaker_name = 'Diane' ORDER BY start_time;

-- The policy
-- Rules with a pattern are judged here. A rule in plain words, such as "be kind to passengers", takes a language model.
CREATE TABLE fleet.policies (name text PRIMARY KEY, rules jsonb NOT NULL);
INSERT INTO fleet.policies VALUES ('talk', '[
  {"rule": "No phone calls", "severity": "high", "pattern": ["phone", "beep", "call you back"]},
  {"rule": "No talk about where people live", "severity": "low", "pattern": "New Jersey|Chicago|\\byour address\\b"},
  {"rule": "No insults", "severity": "high", "pattern": ["idiot", "fool", "shut up"]}]');

-- 6. All of it in one statement
-- What did Diane say against the policy, when, and in which words?
SELECT rule, severity, speaker, start_time, end_time, quote
  FROM fleet.policies, ai_audio_inspect(:'ride', rules, '{"library": "fleet.drivers"}'::jsonb)
  WHERE name = 'talk' AND violated AND speaker = 'Diane' ORDER BY start_time, rule;
