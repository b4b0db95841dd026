-- What changes in an installation of 0.1.0. A line `-- include NN_topic.sql` stands for that part of the install script:
-- parts that 0.1.0 did not have come whole, what changed in the others is written out here.
-- include 01_shapes.sql
-- Arrays of any numbers take the place of real[].
DROP FUNCTION cosine_similarity(real[], real[]);
-- include 11_similarity.sql
-- include 35_activity.sql
-- include 57_enhance.sql
-- include 70_stores.sql
-- include 75_inspect.sql

-- How far the pairs of a calibration reach; one that was fitted before goes by their number.
ALTER TABLE ai_audio.calibrations ADD COLUMN lowest float8, ADD COLUMN highest float8;
-- Whose it is, where it is a registered model's.
ALTER TABLE ai_audio.calibrations ADD COLUMN model text;
DROP FUNCTION ai_voice_calibrate(text, text);
CREATE FUNCTION ai_voice_calibrate(query text, name text DEFAULT NULL, model text DEFAULT NULL,
    OUT calibration text, OUT pairs bigint, OUT same_pairs bigint, OUT eer float8, OUT cllr_before float8,
    OUT cllr_after float8, OUT threshold float8)
  LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100000
  AS 'MODULE_PATHNAME', 'ai_voice_calibrate_wrapper';
COMMENT ON FUNCTION ai_voice_calibrate(text, text, text) IS
  'fits probabilities to labelled pairs and keeps them under a name, as those of a model if one is named; the query returns same_speaker, and similarity or voiceprints a and b, and maybe duration_a and duration_b';
-- Functions on recordings take NULL options, and options beside the recording alone. Those with more columns than before are made anew.
-- include 20_embed.sql
-- include 30_info.sql
DROP FUNCTION ai_audio_sentences(text, text, text);
DROP FUNCTION ai_audio_sentences(text, text, jsonb);
DROP FUNCTION ai_audio_sentences(text, jsonb);
DROP FUNCTION ai_audio_sentences(bytea, text, text);
DROP FUNCTION ai_audio_sentences(bytea, text, jsonb);
DROP FUNCTION ai_audio_sentences(bytea, jsonb);
-- include 50_transcribe.sql
DROP FUNCTION ai_audio_diarize(text);
DROP FUNCTION ai_audio_diarize(text, text);
DROP FUNCTION ai_audio_diarize(text, jsonb);
DROP FUNCTION ai_audio_diarize(bytea);
DROP FUNCTION ai_audio_diarize(bytea, text);
DROP FUNCTION ai_audio_diarize(bytea, jsonb);
DROP FUNCTION ai_audio_segments(text);
DROP FUNCTION ai_audio_segments(text, text);
DROP FUNCTION ai_audio_segments(text, jsonb);
DROP FUNCTION ai_audio_segments(bytea);
DROP FUNCTION ai_audio_segments(bytea, text);
DROP FUNCTION ai_audio_segments(bytea, jsonb);
-- include 55_diarize.sql
DROP FUNCTION ai_audio_quality(text);
DROP FUNCTION ai_audio_quality(text, text);
DROP FUNCTION ai_audio_quality(text, jsonb);
DROP FUNCTION ai_audio_quality(bytea);
DROP FUNCTION ai_audio_quality(bytea, text);
DROP FUNCTION ai_audio_quality(bytea, jsonb);
-- include 62_quality.sql
-- include 64_compare.sql
CREATE FUNCTION ai_voice_cluster(voiceprint vector, options json) RETURNS integer
  LANGUAGE c IMMUTABLE WINDOW PARALLEL SAFE COST 1000
  AS 'MODULE_PATHNAME', 'ai_voice_cluster';
-- include 66_halfvec.sql
ALTER FUNCTION ai_audio_register_model(text, text, text, jsonb) CALLED ON NULL INPUT;
ALTER FUNCTION ai_audio_warmup(text) CALLED ON NULL INPUT;
-- include 80_follow.sql
-- include 81_follow_queue.sql
-- include 82_follow_declare.sql
-- include 83_follow_work.sql
-- include 84_follow_manage.sql
-- ai_audio_stats counts what language models do.
DROP FUNCTION ai_audio_stats();
-- include 32_stats.sql
-- What models run on.
DROP FUNCTION ai_audio_version();
-- include 31_version.sql
DROP VIEW ai_audio_models;
DROP FUNCTION ai_audio.list_models();
CREATE FUNCTION ai_audio.list_models(OUT name text, OUT aliases text[], OUT task text, OUT dimensions integer,
    OUT sample_rate integer, OUT languages text[], OUT licence text, OUT file text, OUT size bigint, OUT sha256 text,
    OUT loaded boolean, OUT built_in boolean, OUT runs_on text, OUT calibrated boolean) RETURNS SETOF record
  LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED COST 1000 ROWS 10
  AS 'MODULE_PATHNAME', 'ai_audio_list_models_wrapper';
COMMENT ON FUNCTION ai_audio.list_models() IS 'rows of the view ai_audio_models';
CREATE VIEW ai_audio_models AS SELECT * FROM ai_audio.list_models();
COMMENT ON VIEW ai_audio_models IS 'models that can be named in ai_audio functions, and whether this session has them loaded';
GRANT SELECT ON ai_audio_models TO PUBLIC;
-- include 95_hidden.sql
-- include 99_comments.sql
