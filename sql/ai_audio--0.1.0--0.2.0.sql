-- What changes in an installation of 0.1.0. A line `-- include NN_topic.sql` stands for that part of the install script:
-- parts that 0.1.0 did not have come whole, what changed in the others is written out here.
-- include 57_enhance.sql
-- include 70_stores.sql

-- What no row can change runs once, whichever function it is.
ALTER FUNCTION ai_audio_extract(text, integer, integer) SUPPORT ai_audio.once_support;
ALTER FUNCTION ai_audio_extract(text, integer, integer, text) SUPPORT ai_audio.once_support;
ALTER FUNCTION ai_audio_extract(text, integer, integer, jsonb) SUPPORT ai_audio.once_support;
ALTER FUNCTION ai_audio_extract(bytea, integer, integer) SUPPORT ai_audio.once_support;
ALTER FUNCTION ai_audio_extract(bytea, integer, integer, text) SUPPORT ai_audio.once_support;
ALTER FUNCTION ai_audio_extract(bytea, integer, integer, jsonb) SUPPORT ai_audio.once_support;
-- How far the pairs of a calibration reach; one that was fitted before goes by their number.
ALTER TABLE ai_audio.calibrations ADD COLUMN lowest float8, ADD COLUMN highest float8;
-- ai_audio_quality has one more column.
DROP FUNCTION ai_audio_quality(text);
DROP FUNCTION ai_audio_quality(text, text);
DROP FUNCTION ai_audio_quality(text, jsonb);
DROP FUNCTION ai_audio_quality(bytea);
DROP FUNCTION ai_audio_quality(bytea, text);
DROP FUNCTION ai_audio_quality(bytea, jsonb);
-- include 62_quality.sql
-- include 99_comments.sql
