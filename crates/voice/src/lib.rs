//! Voices: samples in, voiceprints out, and what voiceprints say of each other.
//!
//! Samples are mono `f32` in [-1, 1] at 16 kHz; voiceprints are vectors of norm 1.
//!
//! 1. [`embed`]: a recording to its voiceprint, by a speaker model; recordings that lack their upper band get help
//!    (`bandwidth/`);
//! 2. [`similarity`]: two voiceprints to the cosine of their angle;
//! 3. [`score`]: what a similarity is worth: probabilities, thresholds, score normalisation, the quality of a recording;
//! 4. [`mod@cluster`]: many voiceprints to groups, a speaker each.
#![warn(missing_docs)]

mod bandwidth;
pub mod cluster;
pub mod embed;
mod error;
pub mod score;
pub mod similarity;

pub use error::Error;
