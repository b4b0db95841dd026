-- Calibrations of the user's own. Everyone may use them; who may fit them is for the administrator to say:
-- GRANT INSERT, UPDATE ON ai_audio.calibrations TO ...
CREATE TABLE ai_audio.calibrations (
  name text PRIMARY KEY,
  score float8 NOT NULL,
  score_shortness float8 NOT NULL,
  intercept float8 NOT NULL,
  shortness float8 NOT NULL,
  pairs bigint NOT NULL,
  same_pairs bigint NOT NULL,
  eer float8 NOT NULL,
  cllr float8 NOT NULL,
  fitted_by name NOT NULL DEFAULT current_user,
  fitted_at timestamptz NOT NULL DEFAULT now(),
  lowest float8,
  highest float8,
  model text
);
COMMENT ON TABLE ai_audio.calibrations IS
  'calibrations fitted with ai_voice_calibrate, for option "calibration"; to fit one takes INSERT and UPDATE on this table';
GRANT SELECT ON ai_audio.calibrations TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('ai_audio.calibrations', '');

CREATE FUNCTION ai_voice_calibrate(query text, name text DEFAULT NULL, model text DEFAULT NULL,
    OUT calibration text, OUT pairs bigint, OUT same_pairs bigint, OUT eer float8, OUT cllr_before float8,
    OUT cllr_after float8, OUT threshold float8)
  LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100000
  AS 'MODULE_PATHNAME', 'ai_voice_calibrate_wrapper';
COMMENT ON FUNCTION ai_voice_calibrate(text, text, text) IS
  'fits probabilities to labelled pairs and keeps them under a name, as those of a model if one is named; the query returns same_speaker, and similarity or voiceprints a and b, and maybe duration_a and duration_b';

-- One voiceprint of several recordings.
CREATE FUNCTION ai_audio.profile_add(internal, vector) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE COST 2
  AS 'MODULE_PATHNAME', 'ai_voice_profile_add_wrapper';
COMMENT ON FUNCTION ai_audio.profile_add(internal, vector) IS 'part of ai_voice_profile';

CREATE FUNCTION ai_audio.profile_add(internal, vector, float8) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE COST 2
  AS 'MODULE_PATHNAME', 'ai_voice_profile_add_wrapper';
COMMENT ON FUNCTION ai_audio.profile_add(internal, vector, float8) IS 'part of ai_voice_profile';

CREATE FUNCTION ai_audio.profile_remove(internal, vector) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE COST 2
  AS 'MODULE_PATHNAME', 'ai_voice_profile_remove_wrapper';
COMMENT ON FUNCTION ai_audio.profile_remove(internal, vector) IS 'part of ai_voice_profile';

CREATE FUNCTION ai_audio.profile_remove(internal, vector, float8) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE COST 2
  AS 'MODULE_PATHNAME', 'ai_voice_profile_remove_wrapper';
COMMENT ON FUNCTION ai_audio.profile_remove(internal, vector, float8) IS 'part of ai_voice_profile';

CREATE FUNCTION ai_audio.profile_combine(internal, internal) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE COST 2
  AS 'MODULE_PATHNAME', 'ai_voice_profile_combine_wrapper';
COMMENT ON FUNCTION ai_audio.profile_combine(internal, internal) IS 'part of ai_voice_profile';

CREATE FUNCTION ai_audio.profile_serialize(internal) RETURNS bytea
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 2
  AS 'MODULE_PATHNAME', 'ai_voice_profile_serialize_wrapper';
COMMENT ON FUNCTION ai_audio.profile_serialize(internal) IS 'part of ai_voice_profile';

CREATE FUNCTION ai_audio.profile_deserialize(bytea, internal) RETURNS internal
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 2
  AS 'MODULE_PATHNAME', 'ai_voice_profile_deserialize_wrapper';
COMMENT ON FUNCTION ai_audio.profile_deserialize(bytea, internal) IS 'part of ai_voice_profile';

CREATE FUNCTION ai_audio.profile_final(internal) RETURNS vector
  LANGUAGE c IMMUTABLE PARALLEL SAFE COST 2
  AS 'MODULE_PATHNAME', 'ai_voice_profile_final_wrapper';
COMMENT ON FUNCTION ai_audio.profile_final(internal) IS 'part of ai_voice_profile';

CREATE AGGREGATE ai_voice_profile(vector) (
  SFUNC = ai_audio.profile_add, STYPE = internal, SSPACE = 4096, FINALFUNC = ai_audio.profile_final,
  COMBINEFUNC = ai_audio.profile_combine, SERIALFUNC = ai_audio.profile_serialize,
  DESERIALFUNC = ai_audio.profile_deserialize,
  MSFUNC = ai_audio.profile_add, MINVFUNC = ai_audio.profile_remove, MSTYPE = internal, MSSPACE = 4096,
  MFINALFUNC = ai_audio.profile_final, PARALLEL = SAFE
);
COMMENT ON AGGREGATE ai_voice_profile(vector) IS
  'one voiceprint of several recordings of a speaker: the mean of the voiceprints at norm 1, at norm 1';

CREATE AGGREGATE ai_voice_profile(voiceprint vector, weight float8) (
  SFUNC = ai_audio.profile_add, STYPE = internal, SSPACE = 4096, FINALFUNC = ai_audio.profile_final,
  COMBINEFUNC = ai_audio.profile_combine, SERIALFUNC = ai_audio.profile_serialize,
  DESERIALFUNC = ai_audio.profile_deserialize,
  MSFUNC = ai_audio.profile_add, MINVFUNC = ai_audio.profile_remove, MSTYPE = internal, MSSPACE = 4096,
  MFINALFUNC = ai_audio.profile_final, PARALLEL = SAFE
);
COMMENT ON AGGREGATE ai_voice_profile(vector, float8) IS
  'one voiceprint of several recordings of a speaker, weighted, for instance by seconds of speech';

-- Which voiceprints are of one speaker.
CREATE FUNCTION ai_voice_cluster(voiceprint vector) RETURNS integer
  LANGUAGE c IMMUTABLE WINDOW PARALLEL SAFE COST 1000
  AS 'MODULE_PATHNAME', 'ai_voice_cluster';

CREATE FUNCTION ai_voice_cluster(voiceprint vector, options text) RETURNS integer
  LANGUAGE c IMMUTABLE WINDOW PARALLEL SAFE COST 1000
  AS 'MODULE_PATHNAME', 'ai_voice_cluster';

CREATE FUNCTION ai_voice_cluster(voiceprint vector, options jsonb) RETURNS integer
  LANGUAGE c IMMUTABLE WINDOW PARALLEL SAFE COST 1000
  AS 'MODULE_PATHNAME', 'ai_voice_cluster';

CREATE FUNCTION ai_voice_cluster(voiceprint vector, options json) RETURNS integer
  LANGUAGE c IMMUTABLE WINDOW PARALLEL SAFE COST 1000
  AS 'MODULE_PATHNAME', 'ai_voice_cluster';
