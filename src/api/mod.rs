//! The SQL functions, one file per family.

pub mod call;
pub mod diarize;
pub mod embed;
pub mod info;
pub mod input;
pub mod library;
pub mod models;
pub mod options;
pub mod quality;
pub mod recognition;
pub mod record;
pub mod similarity;
pub mod transcribe;
pub mod voice_calibration;
pub mod voice_cluster;
pub mod voice_identify;
pub mod voice_profile;
pub mod voice_verify;
