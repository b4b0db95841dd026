-- Policies on transcripts and recordings; language models are foreign servers, their keys user mappings.
CREATE FUNCTION ai_audio.llm_validator(options text[], catalog oid) RETURNS void
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100
  AS 'MODULE_PATHNAME', 'ai_audio_llm_validator_wrapper';
COMMENT ON FUNCTION ai_audio.llm_validator(text[], oid) IS
  'judges the options of servers and user mappings of ai_audio_llm';

CREATE FOREIGN DATA WRAPPER ai_audio_llm NO HANDLER VALIDATOR ai_audio.llm_validator;
COMMENT ON FOREIGN DATA WRAPPER ai_audio_llm IS
  'language models behind an API like OpenAI''s, for ai_text_inspect, ai_audio_inspect and ai_text_complete';

-- What is inspected comes in two types, so does the policy, and so do options, which may be left out.
DO $$
DECLARE
  inspection record;
  policy text;
  options text;
BEGIN
  FOR inspection IN SELECT * FROM (VALUES
      ('ai_text_inspect', 'transcript text', 100000), ('ai_text_inspect', 'transcript jsonb', 100000),
      ('ai_audio_inspect', 'source text', 10000000), ('ai_audio_inspect', 'source bytea', 10000000)) AS v(name, of, cost) LOOP
    FOREACH policy IN ARRAY ARRAY['text', 'jsonb'] LOOP
      FOREACH options IN ARRAY ARRAY['text DEFAULT NULL', 'jsonb', 'json'] LOOP
        EXECUTE format('CREATE FUNCTION %I(%s, policy %s, options %s,
            OUT rule text, OUT violated boolean, OUT severity text, OUT speaker text, OUT sentence_id integer,
            OUT start_time integer, OUT end_time integer, OUT quote text, OUT reason text, OUT confidence real,
            OUT unsupported boolean) RETURNS SETOF record
          LANGUAGE c VOLATILE PARALLEL RESTRICTED COST %s ROWS 10 AS %L, %L',
          inspection.name, inspection.of, policy, options, inspection.cost,
          'MODULE_PATHNAME', inspection.name || '_wrapper');
      END LOOP;
    END LOOP;
  END LOOP;
END
$$;

CREATE FUNCTION ai_text_complete(server text, prompt text, options text DEFAULT NULL) RETURNS text
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000
  AS 'MODULE_PATHNAME', 'ai_text_complete_wrapper';

CREATE FUNCTION ai_text_complete(server text, prompt text, options jsonb) RETURNS text
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000
  AS 'MODULE_PATHNAME', 'ai_text_complete_wrapper';

CREATE FUNCTION ai_text_complete(server text, prompt text, options json) RETURNS text
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000
  AS 'MODULE_PATHNAME', 'ai_text_complete_wrapper';

CREATE FUNCTION ai_text_complete(server text, prompt text, options text, schema jsonb) RETURNS jsonb
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000
  AS 'MODULE_PATHNAME', 'ai_text_complete_json_wrapper';

CREATE FUNCTION ai_text_complete(server text, prompt text, options jsonb, schema jsonb) RETURNS jsonb
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000
  AS 'MODULE_PATHNAME', 'ai_text_complete_json_wrapper';

CREATE FUNCTION ai_text_complete(server text, prompt text, options json, schema jsonb) RETURNS jsonb
  LANGUAGE c VOLATILE PARALLEL RESTRICTED COST 1000000
  AS 'MODULE_PATHNAME', 'ai_text_complete_json_wrapper';
