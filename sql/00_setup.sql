-- Concatenated with its neighbours, in order of their names, into the install script of the current version.
\echo Use "CREATE EXTENSION ai_audio CASCADE" to load this file. \quit

-- Roles belong to the cluster, so another database's copy of the extension may have made it already. It stays after
-- DROP EXTENSION.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'ai_audio_fetch_url') THEN
    CREATE ROLE ai_audio_fetch_url NOLOGIN;
    COMMENT ON ROLE ai_audio_fetch_url IS 'may have ai_audio functions fetch recordings from http(s) URLs';
  END IF;
END
$$;

-- What users did not ask for stays out of their schemas.
CREATE SCHEMA ai_audio;
COMMENT ON SCHEMA ai_audio IS 'internals of the extension ai_audio: registered models and calibrations';
GRANT USAGE ON SCHEMA ai_audio TO PUBLIC;
