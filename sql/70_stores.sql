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

-- What is in a store, a row per object. Called on NULL, as all functions with options: those that are NULL are none.
CREATE FUNCTION ai_audio_list(prefix text, options text DEFAULT NULL,
    OUT url text, OUT size bigint, OUT modified timestamp with time zone, OUT etag text) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 100000 ROWS 1000
  AS 'MODULE_PATHNAME', 'ai_audio_list_wrapper';

CREATE FUNCTION ai_audio_list(prefix text, options jsonb,
    OUT url text, OUT size bigint, OUT modified timestamp with time zone, OUT etag text) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 100000 ROWS 1000
  AS 'MODULE_PATHNAME', 'ai_audio_list_wrapper';

CREATE FUNCTION ai_audio_list(prefix text, options json,
    OUT url text, OUT size bigint, OUT modified timestamp with time zone, OUT etag text) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL SAFE COST 100000 ROWS 1000
  AS 'MODULE_PATHNAME', 'ai_audio_list_wrapper';

CREATE FUNCTION ai_audio_put(url text, content bytea, options text DEFAULT NULL) RETURNS text
  LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100000
  AS 'MODULE_PATHNAME', 'ai_audio_put_wrapper';

CREATE FUNCTION ai_audio_put(url text, content bytea, options jsonb) RETURNS text
  LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100000
  AS 'MODULE_PATHNAME', 'ai_audio_put_wrapper';

CREATE FUNCTION ai_audio_put(url text, content bytea, options json) RETURNS text
  LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100000
  AS 'MODULE_PATHNAME', 'ai_audio_put_wrapper';

CREATE FUNCTION ai_audio_presign(url text, seconds integer DEFAULT NULL, options text DEFAULT NULL) RETURNS text
  LANGUAGE c VOLATILE PARALLEL SAFE COST 10000
  AS 'MODULE_PATHNAME', 'ai_audio_presign_wrapper';

CREATE FUNCTION ai_audio_presign(url text, seconds integer, options jsonb) RETURNS text
  LANGUAGE c VOLATILE PARALLEL SAFE COST 10000
  AS 'MODULE_PATHNAME', 'ai_audio_presign_wrapper';

CREATE FUNCTION ai_audio_presign(url text, seconds integer, options json) RETURNS text
  LANGUAGE c VOLATILE PARALLEL SAFE COST 10000
  AS 'MODULE_PATHNAME', 'ai_audio_presign_wrapper';
