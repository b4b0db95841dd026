//! `ai_audio`: voiceprints, voice search and speech to text in SQL.
