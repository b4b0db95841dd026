-- What each function with overloads is, once for all of them. It comes last: what is commented here must be there.
DO $$
DECLARE
  described record;
BEGIN
  FOR described IN
    SELECT p.oid::pg_catalog.regprocedure AS overload, c.what, c.page
    FROM (VALUES
      ('ai_audio_embed', 'voiceprint of a recording', 'embed'),
      ('ai_audio_embed_row', 'voiceprint of a recording and what is known of it, or what is wrong with it, as a row', 'embed'),
      ('ai_audio_info', 'container, codec, sample rate, channels and duration (ms) of a recording', 'info'),
      ('ai_audio_transcribe', 'what is said in a recording: text, JSON or subtitles', 'transcribe'),
      ('ai_audio_transcript', 'what is said in a recording, as a JSON document', 'transcribe'),
      ('ai_audio_sentences', 'what is said in a recording, a row per sentence, as it is recognised; times in ms', 'transcribe'),
      ('ai_audio_detect_language', 'language of the first speech in a recording, NULL if nobody speaks', 'transcribe'),
      ('ai_audio_vad', 'when somebody speaks in a recording, ms', 'transcribe'),
      ('ai_audio_diarize', 'who speaks when in a recording, a row per turn; times in ms', 'diarize'),
      ('ai_audio_segments', 'the turns of each speaker of a recording, cut out', 'diarize'),
      ('ai_audio_extract', 'the part between two times, ms, of a recording, as 16 kHz mono WAV or FLAC', 'diarize'),
      ('ai_audio_enhance', 'a recording with less noise, as 16 kHz mono WAV or FLAC', 'enhance'),
      ('ai_audio_quality', 'speech, noise, clipping, bandwidth and number of speakers of a recording, and whether it is fit to enrol a voice',
       'voice-quality'),
      ('ai_text_inspect', 'which rules of a policy a transcript breaks, with quotes; times in ms', 'inspect'),
      ('ai_audio_inspect', 'which rules of a policy are broken in a recording, by whom, when and in which words; times in ms', 'inspect'),
      ('ai_text_complete', 'what a language model answers: text, or JSON that fits a schema', 'inspect'),
      ('ai_audio_list', 'the objects of a store whose names begin so, a row each', 'stores'),
      ('ai_audio_put', 'writes an object to a store and returns its name', 'stores'),
      ('ai_audio_presign', 'a temporary URL with which everybody can read an object of a store', 'stores'),
      ('ai_voice_verify', 'whether two voiceprints are of one speaker, and how probable that is', 'voice-verify'),
      ('ai_audio_verify', 'whether two recordings are of one speaker, and how probable that is', 'voice-verify'),
      ('ai_audio_identify', 'the names in a table of voiceprints whose voice a recording is, best first; no row if it is nobody''s', 'voice-identify'),
      ('ai_voice_identify', 'the name in a table of voiceprints whose voice this is; NULL if it is nobody''s', 'voice-identify'),
      ('ai_voice_cluster', 'window function: groups the voiceprints of a partition by speaker, from 1', 'voice-cluster')
    ) AS c(name, what, page)
    JOIN pg_catalog.pg_proc p ON p.proname = c.name::pg_catalog.name
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e'
    JOIN pg_catalog.pg_extension e ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = e.oid
    WHERE e.extname = 'ai_audio'
  LOOP
    EXECUTE pg_catalog.format('COMMENT ON FUNCTION %s IS %L', described.overload,
      pg_catalog.format('%s; options and examples: docs/%s.md', described.what, described.page));
  END LOOP;
END
$$;
DROP FUNCTION ai_audio.declare(text, text, text, text);
