-- Policies on transcripts and recordings; language models are foreign servers, their keys user mappings.
CREATE FUNCTION ai_audio.llm_validator(options text[], catalog oid) RETURNS void
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100
  AS 'MODULE_PATHNAME', 'ai_audio_llm_validator_wrapper';
COMMENT ON FUNCTION ai_audio.llm_validator(text[], oid) IS
  'judges the options of servers and user mappings of ai_audio_llm';

CREATE FOREIGN DATA WRAPPER ai_audio_llm NO HANDLER VALIDATOR ai_audio.llm_validator;
COMMENT ON FOREIGN DATA WRAPPER ai_audio_llm IS
  'language models behind an API like OpenAI''s, for ai_text_inspect, ai_audio_inspect and ai_text_complete';

CREATE FUNCTION ai_text_inspect(transcript text, policy text, options text DEFAULT NULL,
    OUT rule text, OUT violated boolean, OUT severity text, OUT speaker text, OUT sentence_id integer,
    OUT start_time integer, OUT end_time integer, OUT quote text, OUT reason text, OUT confidence real,
    OUT unsupported boolean) RETURNS SETOF record
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 10
  AS 'MODULE_PATHNAME', 'ai_text_inspect_wrapper';

CREATE FUNCTION ai_text_inspect(transcript text, policy text, options jsonb,
    OUT rule text, OUT violated boolean, OUT severity text, OUT speaker text, OUT sentence_id integer,
    OUT start_time integer, OUT end_time integer, OUT quote text, OUT reason text, OUT confidence real,
    OUT unsupported boolean) RETURNS SETOF record
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 10
  AS 'MODULE_PATHNAME', 'ai_text_inspect_wrapper';

CREATE FUNCTION ai_text_inspect(transcript text, policy jsonb, options text DEFAULT NULL,
    OUT rule text, OUT violated boolean, OUT severity text, OUT speaker text, OUT sentence_id integer,
    OUT start_time integer, OUT end_time integer, OUT quote text, OUT reason text, OUT confidence real,
    OUT unsupported boolean) RETURNS SETOF record
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 10
  AS 'MODULE_PATHNAME', 'ai_text_inspect_wrapper';

CREATE FUNCTION ai_text_inspect(transcript text, policy jsonb, options jsonb,
    OUT rule text, OUT violated boolean, OUT severity text, OUT speaker text, OUT sentence_id integer,
    OUT start_time integer, OUT end_time integer, OUT quote text, OUT reason text, OUT confidence real,
    OUT unsupported boolean) RETURNS SETOF record
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 10
  AS 'MODULE_PATHNAME', 'ai_text_inspect_wrapper';

CREATE FUNCTION ai_text_inspect(transcript jsonb, policy text, options text DEFAULT NULL,
    OUT rule text, OUT violated boolean, OUT severity text, OUT speaker text, OUT sentence_id integer,
    OUT start_time integer, OUT end_time integer, OUT quote text, OUT reason text, OUT confidence real,
    OUT unsupported boolean) RETURNS SETOF record
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 10
  AS 'MODULE_PATHNAME', 'ai_text_inspect_wrapper';

CREATE FUNCTION ai_text_inspect(transcript jsonb, policy text, options jsonb,
    OUT rule text, OUT violated boolean, OUT severity text, OUT speaker text, OUT sentence_id integer,
    OUT start_time integer, OUT end_time integer, OUT quote text, OUT reason text, OUT confidence real,
    OUT unsupported boolean) RETURNS SETOF record
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 10
  AS 'MODULE_PATHNAME', 'ai_text_inspect_wrapper';

CREATE FUNCTION ai_text_inspect(transcript jsonb, policy jsonb, options text DEFAULT NULL,
    OUT rule text, OUT violated boolean, OUT severity text, OUT speaker text, OUT sentence_id integer,
    OUT start_time integer, OUT end_time integer, OUT quote text, OUT reason text, OUT confidence real,
    OUT unsupported boolean) RETURNS SETOF record
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 10
  AS 'MODULE_PATHNAME', 'ai_text_inspect_wrapper';

CREATE FUNCTION ai_text_inspect(transcript jsonb, policy jsonb, options jsonb,
    OUT rule text, OUT violated boolean, OUT severity text, OUT speaker text, OUT sentence_id integer,
    OUT start_time integer, OUT end_time integer, OUT quote text, OUT reason text, OUT confidence real,
    OUT unsupported boolean) RETURNS SETOF record
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 100000 ROWS 10
  AS 'MODULE_PATHNAME', 'ai_text_inspect_wrapper';

CREATE FUNCTION ai_audio_inspect(source text, policy text, options text DEFAULT NULL,
    OUT rule text, OUT violated boolean, OUT severity text, OUT speaker text, OUT sentence_id integer,
    OUT start_time integer, OUT end_time integer, OUT quote text, OUT reason text, OUT confidence real,
    OUT unsupported boolean) RETURNS SETOF record
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000000 ROWS 10
  AS 'MODULE_PATHNAME', 'ai_audio_inspect_wrapper';

CREATE FUNCTION ai_audio_inspect(source text, policy text, options jsonb,
    OUT rule text, OUT violated boolean, OUT severity text, OUT speaker text, OUT sentence_id integer,
    OUT start_time integer, OUT end_time integer, OUT quote text, OUT reason text, OUT confidence real,
    OUT unsupported boolean) RETURNS SETOF record
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000000 ROWS 10
  AS 'MODULE_PATHNAME', 'ai_audio_inspect_wrapper';

CREATE FUNCTION ai_audio_inspect(source text, policy jsonb, options text DEFAULT NULL,
    OUT rule text, OUT violated boolean, OUT severity text, OUT speaker text, OUT sentence_id integer,
    OUT start_time integer, OUT end_time integer, OUT quote text, OUT reason text, OUT confidence real,
    OUT unsupported boolean) RETURNS SETOF record
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000000 ROWS 10
  AS 'MODULE_PATHNAME', 'ai_audio_inspect_wrapper';

CREATE FUNCTION ai_audio_inspect(source text, policy jsonb, options jsonb,
    OUT rule text, OUT violated boolean, OUT severity text, OUT speaker text, OUT sentence_id integer,
    OUT start_time integer, OUT end_time integer, OUT quote text, OUT reason text, OUT confidence real,
    OUT unsupported boolean) RETURNS SETOF record
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000000 ROWS 10
  AS 'MODULE_PATHNAME', 'ai_audio_inspect_wrapper';

CREATE FUNCTION ai_audio_inspect(source bytea, policy text, options text DEFAULT NULL,
    OUT rule text, OUT violated boolean, OUT severity text, OUT speaker text, OUT sentence_id integer,
    OUT start_time integer, OUT end_time integer, OUT quote text, OUT reason text, OUT confidence real,
    OUT unsupported boolean) RETURNS SETOF record
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000000 ROWS 10
  AS 'MODULE_PATHNAME', 'ai_audio_inspect_wrapper';

CREATE FUNCTION ai_audio_inspect(source bytea, policy text, options jsonb,
    OUT rule text, OUT violated boolean, OUT severity text, OUT speaker text, OUT sentence_id integer,
    OUT start_time integer, OUT end_time integer, OUT quote text, OUT reason text, OUT confidence real,
    OUT unsupported boolean) RETURNS SETOF record
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000000 ROWS 10
  AS 'MODULE_PATHNAME', 'ai_audio_inspect_wrapper';

CREATE FUNCTION ai_audio_inspect(source bytea, policy jsonb, options text DEFAULT NULL,
    OUT rule text, OUT violated boolean, OUT severity text, OUT speaker text, OUT sentence_id integer,
    OUT start_time integer, OUT end_time integer, OUT quote text, OUT reason text, OUT confidence real,
    OUT unsupported boolean) RETURNS SETOF record
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000000 ROWS 10
  AS 'MODULE_PATHNAME', 'ai_audio_inspect_wrapper';

CREATE FUNCTION ai_audio_inspect(source bytea, policy jsonb, options jsonb,
    OUT rule text, OUT violated boolean, OUT severity text, OUT speaker text, OUT sentence_id integer,
    OUT start_time integer, OUT end_time integer, OUT quote text, OUT reason text, OUT confidence real,
    OUT unsupported boolean) RETURNS SETOF record
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 10000000 ROWS 10
  AS 'MODULE_PATHNAME', 'ai_audio_inspect_wrapper';

CREATE FUNCTION ai_text_complete(server text, prompt text, options text DEFAULT NULL) RETURNS text
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000
  AS 'MODULE_PATHNAME', 'ai_text_complete_wrapper';

CREATE FUNCTION ai_text_complete(server text, prompt text, options jsonb) RETURNS text
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000
  AS 'MODULE_PATHNAME', 'ai_text_complete_wrapper';

CREATE FUNCTION ai_text_complete(server text, prompt text, options text, schema jsonb) RETURNS jsonb
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000
  AS 'MODULE_PATHNAME', 'ai_text_complete_json_wrapper';

CREATE FUNCTION ai_text_complete(server text, prompt text, options jsonb, schema jsonb) RETURNS jsonb
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000
  AS 'MODULE_PATHNAME', 'ai_text_complete_json_wrapper';
