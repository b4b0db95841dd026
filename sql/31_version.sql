CREATE FUNCTION ai_audio_version(OUT extension text, OUT onnxruntime text, OUT build text, OUT runs_on text) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000 ROWS 1
  AS 'MODULE_PATHNAME', 'ai_audio_version_wrapper';
COMMENT ON FUNCTION ai_audio_version() IS
  'versions of the extension and of the ONNX Runtime library it uses, how it was built, and what models run on';
