//! The SQL functions, a file or a folder per family. A family knows [`crate::call`] and [`crate::steps`], and no other
//! family.

pub mod activity;
mod diarize;
pub mod embed;
pub mod enhance;
mod hidden;
pub mod info;
pub mod inspect;
pub mod models;
pub mod quality;
pub mod similarity;
pub mod stores;
pub mod transcribe;
pub mod vad;
pub mod voice;
