-- A database that hears
-- Real voices, from telephone prompts, a telephone call and an audiobook. `speech` is the folder they are in.
\set allison        :speech/allison-1.wav
\set june           :speech/june-1.wav
\set carlo          :speech/carlo-1.wav
\set sheila         :speech/sheila-1.wav
\set diane          :speech/diane-1.wav
\set allison_again  :speech/allison-es-2.wav
\set diane_again    :speech/diane-2.wav
\set stranger       :speech/austen-1.wav

CREATE EXTENSION ai_audio CASCADE;
CREATE SCHEMA ai;

-- A voiceprint is a vector
-- 192 numbers that say who speaks, in a column of pgvector's type, with pgvector's index.
CREATE TABLE IF NOT EXISTS ai.voicetest (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  voiceprint_feature vector(192) NOT NULL);
CREATE INDEX idx_voiceprint_feature ON ai.voicetest USING hnsw (voiceprint_feature vector_cosine_ops);

-- Enrol five people
-- One recording each, read by the server from a file.
INSERT INTO ai.voicetest (name, voiceprint_feature) SELECT 'Allison', ai_audio_embed(:'allison');
INSERT INTO ai.voicetest (name, voiceprint_feature) SELECT 'June', ai_audio_embed(:'june');
INSERT INTO ai.voicetest (name, voiceprint_feature) SELECT 'Carlo', ai_audio_embed(:'carlo');
INSERT INTO ai.voicetest (name, voiceprint_feature) SELECT 'Sheila', ai_audio_embed(:'sheila');
INSERT INTO ai.voicetest (name, voiceprint_feature) SELECT 'Diane', ai_audio_embed(:'diane');
SELECT id, name FROM ai.voicetest WHERE name = 'Carlo';

-- Carlo wants to be forgotten
DELETE FROM ai.voicetest WHERE name = 'Carlo';
SELECT id, name FROM ai.voicetest WHERE name = 'Carlo';

-- Who speaks here?
-- Two seconds out of another recording of Diane: she comes first, far ahead of Sheila on the same telephone line.
SELECT name, similarity FROM (SELECT name, cosine_similarity(voiceprint_feature,
    ai_audio_embed('audio_embedding', :'diane_again', '{''start_time'':1000, ''end_time'':3000}')) AS similarity
  FROM ai.voicetest) t ORDER BY similarity DESC LIMIT 3;

-- More recordings come in
-- Embedded once, compared as often as you like.
CREATE TABLE ai.heard AS SELECT recording, ai_audio_embed(file) AS voiceprint
  FROM (VALUES ('Allison, in Spanish', :'allison_again'), ('Diane, later', :'diane_again'),
               ('Carlo, forgotten', :'carlo'), ('a stranger', :'stranger')) AS files (recording, file);

-- Everybody against everybody
-- Allison speaks Spanish in the new recording: a voiceprint hears the voice, not the words.
SELECT recording, name, round(cosine_similarity(voiceprint_feature, voiceprint)::numeric, 2) AS similarity
  FROM ai.voicetest, ai.heard ORDER BY recording, id \crosstabview

-- Known, or not?
-- A wrong voice is nearest to somebody, too. The similarity tells: 0.4 is a fair threshold for a few seconds of speech.
SELECT recording, name AS nearest, round(similarity::numeric, 2) AS similarity, similarity > 0.4 AS known
  FROM ai.heard, LATERAL (SELECT name, cosine_similarity(voiceprint_feature, voiceprint) AS similarity
                          FROM ai.voicetest ORDER BY similarity DESC LIMIT 1) AS best
  ORDER BY similarity DESC;
