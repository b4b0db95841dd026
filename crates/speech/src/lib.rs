//! Speech models in ONNX Runtime, and what they make of recordings: voiceprints, speech, speakers and words.
//!
//! Samples are mono `f32` in [-1, 1] at 16 kHz, times are milliseconds. Nothing here knows of Postgres.
#![warn(missing_docs)]

mod bandwidth;
mod cache;
mod cancel;
pub mod cluster;
pub mod diarize;
pub mod embed;
mod error;
mod runtime;
pub mod score;
pub mod similarity;
mod tokenizer;
pub mod transcribe;
pub mod vad;

pub use cache::is_private;
pub use cancel::Cancel;
pub use error::Error;
pub use runtime::{Runtime, Session, SessionOptions};
