CREATE TABLE ai_audio.models (
  name text PRIMARY KEY,
  task text NOT NULL,
  path text NOT NULL,
  config jsonb NOT NULL DEFAULT '{}',
  dimensions integer,
  sha256 text
);
COMMENT ON TABLE ai_audio.models IS 'models added with ai_audio_register_model; listed by the view ai_audio_models';
GRANT SELECT ON ai_audio.models TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('ai_audio.models', '');

CREATE FUNCTION ai_audio.list_models(OUT name text, OUT aliases text[], OUT task text, OUT dimensions integer,
    OUT sample_rate integer, OUT languages text[], OUT licence text, OUT file text, OUT size bigint, OUT sha256 text,
    OUT loaded boolean, OUT built_in boolean, OUT runs_on text, OUT calibrated boolean) RETURNS SETOF record
  LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED COST 1000 ROWS 10
  AS 'MODULE_PATHNAME', 'ai_audio_list_models_wrapper';
COMMENT ON FUNCTION ai_audio.list_models() IS 'rows of the view ai_audio_models';

CREATE VIEW ai_audio_models AS SELECT * FROM ai_audio.list_models();
COMMENT ON VIEW ai_audio_models IS 'models that can be named in ai_audio functions, and whether this session has them loaded';
GRANT SELECT ON ai_audio_models TO PUBLIC;

CREATE FUNCTION ai_audio_register_model(name text, task text, path text, config jsonb DEFAULT '{}') RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100000
  AS 'MODULE_PATHNAME', 'ai_audio_register_model_wrapper';
COMMENT ON FUNCTION ai_audio_register_model(text, text, text, jsonb) IS
  'adds a model from an ONNX file (or directory) on the server; superusers only';
REVOKE ALL ON FUNCTION ai_audio_register_model(text, text, text, jsonb) FROM PUBLIC;

CREATE FUNCTION ai_audio_drop_model(name text) RETURNS void
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE COST 1000
  AS 'MODULE_PATHNAME', 'ai_audio_drop_model_wrapper';
COMMENT ON FUNCTION ai_audio_drop_model(text) IS
  'forgets a model that was added with ai_audio_register_model; its file stays; superusers only';
REVOKE ALL ON FUNCTION ai_audio_drop_model(text) FROM PUBLIC;

CREATE FUNCTION ai_audio_warmup(model text DEFAULT 'audio_embedding') RETURNS void
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 100000
  AS 'MODULE_PATHNAME', 'ai_audio_warmup_wrapper';
COMMENT ON FUNCTION ai_audio_warmup(text) IS 'loads a model into this session ahead of the first query that needs it';
