//! `ai_voice_*`: functions on voiceprints, and `ai_audio_verify`, which makes two of them first.

pub mod calibrate;
pub mod cluster;
pub mod identify;
pub mod profile;
pub mod verify;
