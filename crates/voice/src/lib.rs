//! Voices: samples in, voiceprints out, and what voiceprints say of each other.
//!
//! Samples are mono `f32` in [-1, 1] at 16 kHz; voiceprints are vectors of norm 1.
//!
//! 1. [`hear`]: a recording to the parts of it that are speech;
//! 2. [`embed`]: these to a voiceprint, by a speaker model of any family (`front.rs`); recordings that lack their upper band get help
//!    (`bandwidth/`);
//! 3. [`similarity`]: two voiceprints to the cosine of their angle;
//! 4. [`score`]: what a similarity is worth: probabilities, thresholds, score normalisation, the quality of a recording;
//! 5. [`mod@cluster`]: many voiceprints to groups, a speaker each.
#![warn(missing_docs)]

mod bandwidth;
pub mod cluster;
pub mod embed;
mod error;
mod front;
pub mod hear;
pub mod score;
pub mod similarity;

pub use error::Error;
