-- Voiceprints in half precision, as the functions on columns take them. Those on single voiceprints (ai_voice_verify,
-- ai_voice_identify) are for vectors only: see 64_compare.sql.
DO $$
DECLARE
  weight text;
  options text;
BEGIN
  FOREACH weight IN ARRAY ARRAY['', ', float8'] LOOP
    EXECUTE format($create$
      CREATE FUNCTION ai_audio.profile_add(internal, halfvec%1$s) RETURNS internal
        LANGUAGE c IMMUTABLE PARALLEL SAFE COST 2 AS %2$L, 'ai_voice_profile_add_half_wrapper';
      COMMENT ON FUNCTION ai_audio.profile_add(internal, halfvec%1$s) IS 'part of ai_voice_profile';
      CREATE FUNCTION ai_audio.profile_remove(internal, halfvec%1$s) RETURNS internal
        LANGUAGE c IMMUTABLE PARALLEL SAFE COST 2 AS %2$L, 'ai_voice_profile_remove_half_wrapper';
      COMMENT ON FUNCTION ai_audio.profile_remove(internal, halfvec%1$s) IS 'part of ai_voice_profile';
      CREATE AGGREGATE ai_voice_profile(%3$s) (
        SFUNC = ai_audio.profile_add, STYPE = internal, SSPACE = 4096, FINALFUNC = ai_audio.profile_final,
        COMBINEFUNC = ai_audio.profile_combine, SERIALFUNC = ai_audio.profile_serialize,
        DESERIALFUNC = ai_audio.profile_deserialize,
        MSFUNC = ai_audio.profile_add, MINVFUNC = ai_audio.profile_remove, MSTYPE = internal, MSSPACE = 4096,
        MFINALFUNC = ai_audio.profile_final, PARALLEL = SAFE);
      COMMENT ON AGGREGATE ai_voice_profile(halfvec%1$s) IS 'one voiceprint of several recordings of a speaker, of voiceprints in half precision'
      $create$, weight, 'MODULE_PATHNAME', CASE weight WHEN '' THEN 'halfvec' ELSE 'voiceprint halfvec, weight float8' END);
  END LOOP;
  FOREACH options IN ARRAY ARRAY['', ', options text', ', options jsonb', ', options json'] LOOP
    EXECUTE format('CREATE FUNCTION ai_voice_cluster(voiceprint halfvec%s) RETURNS integer
      LANGUAGE c IMMUTABLE WINDOW PARALLEL SAFE COST 1000 AS %L, %L', options, 'MODULE_PATHNAME', 'ai_voice_cluster');
  END LOOP;
END
$$;
