-- What a plan shows of a constant that holds a secret (keys to a store, URLs that carry one): the planner gives it a type that
-- holds what text or jsonb does, and whose output leaves the secret out.
CREATE TYPE ai_audio.hidden_text;
CREATE TYPE ai_audio.hidden_jsonb;

CREATE FUNCTION ai_audio.hidden_text_in(cstring) RETURNS ai_audio.hidden_text
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ai_audio_hidden_in_wrapper';
COMMENT ON FUNCTION ai_audio.hidden_text_in(cstring) IS 'part of ai_audio.hidden_text; refuses';

CREATE FUNCTION ai_audio.hidden_text_out(ai_audio.hidden_text) RETURNS cstring
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ai_audio_hidden_text_out_wrapper';
COMMENT ON FUNCTION ai_audio.hidden_text_out(ai_audio.hidden_text) IS 'part of ai_audio.hidden_text';

CREATE FUNCTION ai_audio.hidden_jsonb_in(cstring) RETURNS ai_audio.hidden_jsonb
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ai_audio_hidden_in_wrapper';
COMMENT ON FUNCTION ai_audio.hidden_jsonb_in(cstring) IS 'part of ai_audio.hidden_jsonb; refuses';

CREATE FUNCTION ai_audio.hidden_jsonb_out(ai_audio.hidden_jsonb) RETURNS cstring
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ai_audio_hidden_jsonb_out_wrapper';
COMMENT ON FUNCTION ai_audio.hidden_jsonb_out(ai_audio.hidden_jsonb) IS 'part of ai_audio.hidden_jsonb';

CREATE TYPE ai_audio.hidden_text
  (INPUT = ai_audio.hidden_text_in, OUTPUT = ai_audio.hidden_text_out, STORAGE = extended);
COMMENT ON TYPE ai_audio.hidden_text IS 'text in a plan, shown without its secrets';
CREATE TYPE ai_audio.hidden_jsonb
  (INPUT = ai_audio.hidden_jsonb_in, OUTPUT = ai_audio.hidden_jsonb_out, STORAGE = extended);
COMMENT ON TYPE ai_audio.hidden_jsonb IS 'jsonb in a plan, shown without its secrets';

-- The planner asks about calls of every function to which a secret can be given.
DO $$
DECLARE
  call regprocedure;
BEGIN
  FOR call IN
    SELECT p.oid FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e'
    JOIN pg_catalog.pg_extension e ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = e.oid
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    WHERE e.extname = 'ai_audio' AND l.lanname = 'c' AND p.prokind = 'f' AND p.prosupport = 0
      AND p.proargnames && ARRAY['source', 'a', 'url', 'prefix', 'options', 'options_json', 'model_or_options']
      AND p.proname LIKE 'ai\_%'
  LOOP
    EXECUTE pg_catalog.format('ALTER FUNCTION %s SUPPORT ai_audio.once_support', call);
  END LOOP;
END
$$;
