CREATE FUNCTION ai_audio.list_activity(OUT pid integer, OUT function text, OUT recording text, OUT stage text,
    OUT done_seconds float8, OUT total_seconds float8, OUT since timestamptz) RETURNS SETOF record
  LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED COST 1000 ROWS 10
  AS 'MODULE_PATHNAME', 'ai_audio_list_activity_wrapper';
COMMENT ON FUNCTION ai_audio.list_activity() IS 'rows of the view ai_audio_activity';

CREATE VIEW ai_audio_activity AS
  SELECT a.* FROM ai_audio.list_activity() a WHERE EXISTS (SELECT FROM pg_catalog.pg_stat_activity s WHERE s.pid = a.pid);
COMMENT ON VIEW ai_audio_activity IS
  'what sessions are doing with recordings now; the recording is shown to those who may see the session''s query';
GRANT SELECT ON ai_audio_activity TO PUBLIC;
