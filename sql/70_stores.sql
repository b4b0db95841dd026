-- Buckets in object stores are foreign servers, their keys user mappings: Postgres' own places for both.
CREATE FUNCTION ai_audio.store_validator(options text[], catalog oid) RETURNS void
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100
  AS 'MODULE_PATHNAME', 'ai_audio_store_validator_wrapper';
COMMENT ON FUNCTION ai_audio.store_validator(text[], oid) IS
  'judges the options of servers and user mappings of ai_audio_store';

CREATE FOREIGN DATA WRAPPER ai_audio_store NO HANDLER VALIDATOR ai_audio.store_validator;
COMMENT ON FOREIGN DATA WRAPPER ai_audio_store IS
  'buckets in object stores: oss:// and s3:// sources';

-- A role of the cluster, as ai_audio_fetch_url.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'ai_audio_write_url') THEN
    CREATE ROLE ai_audio_write_url NOLOGIN;
    COMMENT ON ROLE ai_audio_write_url IS 'may have ai_audio functions write to object stores';
  END IF;
END
$$;
